"""The built pages: no warning, nothing from the network, and all that the code has is there."""

import html
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import attrs
import benchmarks
import catalog
import command_line
import contracts
import error_tree
import event_types
import group_command_line
import hook_specs
import pytest
import recipe_options
import store_python
from doc_blocks import DOCS, ROOT, blocks_of

import deepseek_core
from deepseek_compress.hooks import ds_register_compressors
from deepseek_core import HostContext
from deepseek_core.cli.main import COMMANDS
from deepseek_core.discovery.hooks import HOOK_NAMES
from deepseek_core.discovery.status import KINDS, Status
from deepseek_core.discovery.switch_table import SWITCHES


def words(site, page):
    """A page's text without its markup."""
    text = (site / page).read_text(encoding="utf-8")
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", text)).split())


def test_every_page_is_built_and_in_the_navigation(site):
    pages = {page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}
    built = {page.relative_to(site) for page in site.rglob("*.html")} - {Path("404.html")}
    assert built == pages
    start = (site / "index.html").read_text()
    assert all(f'href="{page}"' in start for page in pages)


def test_a_reader_needs_no_network(site):
    foreign = re.compile(r"""(?:src|<link[^>]*href|url\()\s*=?\s*["'(]?(?:https?:)?//""")
    assert [p for p in site.rglob("*.html") if foreign.search(p.read_text())] == []


def test_a_keyboard_and_a_screen_reader_get_what_they_need(site):
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert 'role="dialog" aria-label="Search"' in text, page
        assert not re.search(r"<pre>(?:<span></span>)?<code>", text), page
        for drawing in re.findall(r"<svg[^>]*role=.*?</svg>", text, re.S):
            assert 'role="img"' in drawing
            assert len(re.search(r"<title>(.*?)</title>", drawing)[1]) > 40
    assert (site / "explanation/architecture.html").read_text().count('<svg role="img"') == 3
    assert 'lang="zh-CN"' in (site / "zh/index.html").read_text()


def test_links_and_anchors_inside_the_site_lead_somewhere(site):
    texts = {page: page.read_text(encoding="utf-8") for page in site.rglob("*.html")}
    anchors = {page: set(re.findall(r'\bid="([^"]+)"', text)) for page, text in texts.items()}
    lost = []
    for page, text in texts.items():
        for link in re.findall(r'<a[^>]* href="([^"]+)"', text):
            path, _, anchor = html.unescape(link).partition("#")
            if page.name == "404.html" or "://" in path or path.startswith("mailto:"):
                continue
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in anchors.get(target, {anchor})):
                lost.append((page.name, link))
    assert lost == []


def test_every_hook_is_documented_with_its_signature_and_docstring(site):
    text = words(site, "reference/hooks.html")
    for name in HOOK_NAMES:
        assert hook_specs.signature_of(name) in text
        first = (getattr(deepseek_core.hooks, name).__doc__ or "").partition("\n")[0]
        assert first.replace("`", "") in text


def test_every_name_of_the_face_is_documented(site):
    described = {name for names in contracts.GROUPS.values() for name in names}
    assert set(deepseek_core.__all__) <= described | contracts.ELSEWHERE
    page = (site / "reference/contracts.html").read_text()
    for name in described:
        item = getattr(deepseek_core, name)
        assert re.search(rf'id="({name.lower()}|{re.escape(item.__module__)}\.{name})"', page), name
    for name in ("Session", "Plan"):
        assert (
            f'id="{getattr(deepseek_core, name).__module__}.{name}"'
            in (site / "reference/python.html").read_text()
        )


def test_every_field_of_a_record_is_documented(site):
    text = words(site, "reference/contracts.html")
    for names in contracts.GROUPS.values():
        for item in (getattr(deepseek_core, name) for name in names):
            if attrs.has(item):
                fields = [field.name for field in attrs.fields(item) if field.name[0] != "_"]
                assert re.search(rf"{item.__name__}\W.*? field type default {fields[0]} ", text)
                assert set(fields) <= set(text.split()), item


def test_every_event_is_documented(site):
    text = words(site, "reference/events.html")
    for item in event_types.types():
        assert item.__name__ in text.split()
        fields = [field.name for field in attrs.fields(item)] if attrs.has(item) else []
        assert set(fields) <= set(text.split()), item


def test_every_error_is_documented(site):
    text = words(site, "reference/errors.html")
    for _, error in error_tree.tree():
        assert error.__name__ in text
        assert " ".join((error.__doc__ or "").split()).replace("`", "") in text


def test_every_command_is_documented_with_its_own_help(site):
    text = words(site, "reference/cli.html")
    assert " ".join(command_line.help_of().split()) in text
    for name in COMMANDS:
        assert " ".join(command_line.help_of(name).split()) in text
    assert " ".join(command_line.help_of("plugins", "restore").split()) in text


@pytest.mark.parametrize(
    ("group", "commands", "page"),
    [
        ("store", group_command_line.STORE, "store_cli"),
        ("compress", group_command_line.COMPRESS, "compress_cli"),
        ("trt", group_command_line.TRT, "compress_cli"),
        ("fpga", group_command_line.FPGA, "fpga_cli"),
        ("train", group_command_line.TRAIN, "train_cli"),
        ("ckpt", group_command_line.CKPT, "ckpt_cli"),
        ("app ctr", group_command_line.APP, "app_cli"),
    ],
)
def test_every_command_of_a_group_is_documented_with_its_own_help(site, group, commands, page):
    text = words(site, f"reference/{page}.html")
    for name in commands:
        assert " ".join(command_line.help_of(*group.split(), name).split()) in text


def test_every_option_of_a_step_is_documented(site):
    text = words(site, "reference/recipe.html")
    for spec in ds_register_compressors(HostContext(core_version="", api=(1, 1))):
        for field in attrs.fields(recipe_options.options_of(spec)):
            assert f"{field.name} " in text


def test_every_class_of_a_store_is_documented_as_it_is(site):
    text = words(site, "reference/store_python.html")
    for item in (item for items in store_python.GROUPS.values() for item in items):
        assert_documented(text, item)


def test_every_method_and_error_of_the_filesystem_is_documented_as_it_is(site):
    text = words(site, "reference/ds_urls.html")
    assert_documented(text, store_python.FILESYSTEM)
    for kind, made, _number in store_python.to_os_error.KINDS:
        assert f"{made.__name__} {kind.__name__}" in text


def assert_documented(text, item):
    """Name, first sentence, and each public method with its parameters and sentence."""
    assert item.__name__ in text
    assert_says(text, item)
    mine = [cls for cls in inspect.getmro(item) if "deepseek_store" in cls.__module__] if (
        inspect.isclass(item)) else []  # fmt: skip
    for name, method in ((name, value) for cls in mine for name, value in vars(cls).items()):
        function = getattr(method, "__func__", getattr(method, "fget", method))
        if name.startswith("_") or not inspect.isfunction(function):
            continue
        assert name in text
        if function.__doc__:
            assert_says(text, function)
        if function is method:
            called = re.escape(name) + r"\s*\((.*?)\)\s*->"
            shown = [set(re.findall(r"\w+", found)) for found in re.findall(called, text)]
            parameters = set(inspect.signature(function).parameters) - {"self", "_"}
            assert any(parameters <= words for words in shown), (item, name, parameters)


def assert_says(text, item):
    """The first sentence of a docstring is there."""
    first = re.split(r"[`*]", (inspect.getdoc(item) or "").partition("\n")[0])[0]
    assert " ".join(first.split()) in text, item


def test_every_switch_and_variable_is_documented(site):
    text = words(site, "reference/configuration.html")
    for switch in SWITCHES:
        assert {switch.flag, switch.variable, switch.name} <= set(text.split())
    sources = [*ROOT.glob("core/src/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    used = {
        word for path in sources for word in re.findall(r"\bDEEPSEEK_[A-Z_]+", path.read_text())
    }
    patterns = {word for word in used if word.endswith("_") or word.endswith("NAME_FIELD")}
    assert used - patterns <= set(re.findall(r"\bDEEPSEEK_[A-Z_]+", text))


def table_keys(page, heading_row="| key | type | what |"):
    """First cells of the rows of each table of keys, in order of the page."""
    tables = page.read_text().split(heading_row)[1:]
    return [re.findall(r"^\| `(\w+)` \|", table, re.M) for table in tables]


def first_json(page):
    block = next(b for b in blocks_of(page.read_text()) if "\n{" in b.content)
    return json.loads(block.content[block.content.index("\n{") :])


def test_the_tables_of_the_plans_json_have_its_keys():
    page = DOCS / "reference/plan_json.md"
    plan, stage, candidate = table_keys(page)
    answer = first_json(page)  # the same block is compared with what the command prints
    assert plan == list(answer)
    assert stage == list(answer["stages"][0])
    assert candidate == list(answer["stages"][0]["candidates"][0])


def test_the_table_of_the_plugin_lists_json_has_its_keys():
    page = DOCS / "reference/list_plugins_json.md"
    (keys,) = table_keys(page)
    assert keys == list(first_json(page)["plugins"][0])
    assert all(kind in page.read_text() for kind in KINDS)


def test_every_status_is_explained():
    page = (DOCS / "howto/find_the_broken_plugin.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", page, re.M) == [status.value for status in Status]


def test_every_benchmark_is_listed(site):
    text = words(site, "reference/benchmarks.html")
    assert all(path.name in text for path in benchmarks.files())
    assert len(benchmarks.files()) >= 3


def test_the_catalog_lists_our_own_plugins_with_what_their_metadata_say(site):
    listed = {entry.name: entry for entry in catalog.entries()}
    pages = words(site, "reference/catalog.html")
    from deepseek_core.discovery.loader import discover

    for row in discover().plugins:
        if row.dist.startswith("deepseek-"):
            entry = listed[row.name]
            assert entry.dist == row.dist
            assert set(entry.kinds) == set(row.kinds)
            assert entry.summary in pages


def test_a_catalog_with_another_field_is_refused(tmp_path):
    text = (DOCS / "catalog.toml").read_text()
    (tmp_path / "catalog.toml").write_text(text.replace("summary =", "praise =", 1))
    with pytest.raises(ValueError, match="praise"):
        catalog.entries(tmp_path / "catalog.toml")


def test_the_catalog_shows_a_report_of_the_conformance_kit(tmp_path):
    entry = catalog.entries()[0]
    report = tmp_path / f"{entry.name}.json"
    command = [sys.executable, "-m", "deepseek_core", "check-plugin", "null", "--group", "plugin"]
    subprocess.run([*command, "--report", str(report)], check=True, capture_output=True)
    section = catalog.section(entry, catalog.report_of(entry.name, tmp_path))
    assert re.search(r"conformance: \d+ passed", section)
    assert re.search(r"\| plugin of \w+ \| \d+ passed", section)
    assert "not checked in this build" in catalog.section(entry, None)
