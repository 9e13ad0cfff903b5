"""Discovery: every ill plugin gets its status, reason and remedy; the well ones stay."""

import json
import multiprocessing
import sys

import plugin_zoo as zoo
import pytest

from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.discovery.distributions import distributions
from deepseek_core.discovery.hooks import HOOK_NAMES
from deepseek_core.discovery.installing import update_command
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.scan import EntryPoint, scan
from deepseek_core.discovery.status import KINDS, Status
from deepseek_core.discovery.switches import Switches
from deepseek_core.discovery.triage import triage


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The whole zoo, installed."""
    return zoo.fill(tmp_path_factory.mktemp("zoo"))


@pytest.fixture
def find(monkeypatch):
    """Discovers what is installed in a folder, whose modules are forgotten at the end."""

    def find(folder, **switches):
        monkeypatch.syspath_prepend(str(folder))
        return discover(Switches(**switches), entry_points=scan([str(folder)]))

    yield find
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


def row_of(registry, name, dist=None):
    (row,) = [r for r in registry.plugins if r.name == name and dist in (None, r.dist)]
    return row


EXPECTED = {
    "well": ("available", None, None),
    "loud": ("available", None, None),
    "double": ("available", None, None),
    "deletes_variable": (
        "available",
        "its import changed the environment, which was restored: deleted PATH; set ZOO",
        "pip install -U zoo-deletes-variable (or pip uninstall zoo-deletes-variable)",
    ),
    "patches_json": (
        "broken",
        "its import replaced json.dumps, which was restored",
        "pip install -U zoo-patches-json (or pip uninstall zoo-patches-json)",
    ),
    "patches_open": (
        "broken",
        "its import replaced builtins.open, which was restored",
        "pip install -U zoo-patches-open (or pip uninstall zoo-patches-open)",
    ),
    "secret_in_repr": (
        "broken",
        "ds_register_devices returned a record in which a secret can be read",
        "reveal the secret where it is used, and keep it out of records",
    ),
    "cpu_onnx": (
        "conflict",
        "the name 'cpu_onnx' belongs to deepseek-onnx",
        "pip uninstall zoo-impostor (its authors have to rename the plugin)",
    ),
    "too_new": (
        "incompatible",
        "needs API v2; core has v1",
        update_command("deepseek-core"),
    ),
    "too_old": ("incompatible", "needs API v0; core has v1", "pip install -U zoo-too-old"),
    "future_minor": (
        "incompatible",
        "needs API 1.99; core has 1.1",
        update_command("deepseek-core"),
    ),
    "bad_requires_api": (
        "broken",
        "requires_api is 1",
        'write it as requires_api = "1.0"',
    ),
    "broken_import": (
        "broken",
        "import failed: ModuleNotFoundError: No module named 'module_that_nobody_has'"
        " (hooks.py, line 1)",
        "see the documentation of zoo-broken-import for what brings module_that_nobody_has"
        " (or pip uninstall zoo-broken-import)",
    ),
    "system_exit": (
        "broken",
        "import failed: SystemExit: no license (hooks.py, line 1)",
        "pip install -U zoo-system-exit (or pip uninstall zoo-system-exit)",
    ),
    "raising_import": (
        "broken",
        "import failed: ZeroDivisionError: division by zero (hooks.py, line 1)",
        "pip install -U zoo-raising-import (or pip uninstall zoo-raising-import)",
    ),
    "mute_error": (
        "broken",
        "import failed: Mute: (its text can't be had) (hooks.py, line 6)",
        "pip install -U zoo-mute-error (or pip uninstall zoo-mute-error)",
    ),
    "no_hook": (
        "broken",
        "it implements no hook",
        "mark its functions with @hookimpl(hooks.ds_register_...)",
    ),
    "default_argument": (
        "broken",
        "ds_register_devices: argument 'ctx' has a default, so it would never be passed",
        "drop the default",
    ),
    "coroutine": (
        "broken",
        "ds_register_devices is a coroutine function",
        "write it as a plain function",
    ),
    "misspelt": (
        "broken",
        "there is no hook 'ds_register_device'",
        "did you mean ds_register_devices?",
    ),
    "wrapper": (
        "broken",
        "ds_register_devices is a wrapper, which no hook allows",
        "drop wrapper=True",
    ),
    "wrong_record": (
        "broken",
        "ds_register_devices must return an iterable of DeviceSpec; one of them is 'npu' (str)",
        "pip install -U zoo-wrong-record (or pip uninstall zoo-wrong-record)",
    ),
    "returns_none": (
        "broken",
        "ds_register_devices must return an iterable of DeviceSpec; it returned None",
        "pip install -U zoo-returns-none (or pip uninstall zoo-returns-none)",
    ),
    "late_generator": (
        "broken",
        "ds_register_devices raised: RuntimeError: the second board is on fire (hooks.py, line 7)",
        "pip install -U zoo-late-generator (or pip uninstall zoo-late-generator)",
    ),
    "endless": (
        "broken",
        "ds_register_devices returned more than 10000 records",
        "pip install -U zoo-endless (or pip uninstall zoo-endless)",
    ),
    "bad_record_name": (
        "broken",
        "ds_register_devices raised: ConfigError: DeviceSpec.name is 'My NPU' (hooks.py, line 6)",
        "use lower-case letters, digits and underscores, starting with a letter",
    ),
    "twice_itself": (
        "broken",
        "ds_register_devices returned two records named 'npu'",
        "pip install -U zoo-twice-itself (or pip uninstall zoo-twice-itself)",
    ),
    "rival_a": (
        "conflict",
        "device 'contested' is also offered by rival_b of zoo-rival-b 1.0.0",
        'pip uninstall zoo-rival-b (or put prefer.contested = "zoo-rival-a" under [plugins])',
    ),
    "rival_b": (
        "conflict",
        "device 'contested' is also offered by rival_a of zoo-rival-a 1.0.0",
        'pip uninstall zoo-rival-a (or put prefer.contested = "zoo-rival-b" under [plugins])',
    ),
} | dict.fromkeys(zoo.BAD_PROBES, ("available", None, None))


@pytest.fixture(scope="module")
def zoo_registry(folder):
    """The zoo, loaded once."""
    sys.path.insert(0, str(folder))
    # A test before it may have used processes: to set it again would be an error.
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(None, force=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEEPSEEK_SECRET_IN_REPR_TOKEN", zoo.CANARY)
        yield discover(Switches(), entry_points=scan([str(folder)]))
    multiprocessing.set_start_method(before, force=True)
    sys.path.remove(str(folder))
    for name in [name for name in sys.modules if name.startswith("zoo_")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_each_plugin_gets_its_status_reason_and_remedy(name, zoo_registry):
    row = row_of(zoo_registry, name)
    assert (row.status, row.reason, row.remedy) == EXPECTED[name]


def test_a_copy_of_the_process_is_told(tmp_path):
    """In a process of its own: in one that has children or threads, nobody is blamed for them."""
    zoo.install(tmp_path, "forking", hooks=zoo.BAD_HOOKS["forking_import"])
    listed = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path])
    (row,) = [r for r in json.loads(listed.stdout)["plugins"] if r["name"] == "forking"]
    assert row["status"] == "available"
    assert row["reason"].startswith("its import left behind the process ")


def test_a_wrong_argument_is_named(zoo_registry):
    row = row_of(zoo_registry, "bad_signature")
    assert row.status == "broken"
    assert "color" in row.reason
    assert row.remedy == "pip install -U zoo-bad-signature (or pip uninstall zoo-bad-signature)"


def test_the_zoo_is_listed_in_full(zoo_registry):
    names = {row.name for row in zoo_registry.plugins}
    others = {"bad_signature", "heavy", "twin", "forking_import", *zoo.HOOKS_AFTER}
    others |= {"same_module", "same_again", "name_twice", "rival_command_a", "rival_command_b"}
    assert names == {*EXPECTED, *others}
    assert [r.name for r in zoo_registry.plugins] == sorted(r.name for r in zoo_registry.plugins)


def test_two_plugins_of_one_name_are_both_in_conflict(zoo_registry):
    a, b = (r for r in zoo_registry.plugins if r.name == "twin")
    assert (a.status, b.status) == (Status.CONFLICT, Status.CONFLICT)
    assert a.reason == "the name 'twin' is also offered by zoo-twin-b 1.0.0"
    assert a.remedy.startswith("pip uninstall zoo-twin-b (or put prefer.twin")
    assert b.reason == "the name 'twin' is also offered by zoo-twin-a 1.0.0"
    assert "zoo_twin_a.hooks" not in sys.modules


def test_ill_plugins_offer_nothing_and_well_ones_everything(zoo_registry):
    offered = {device.record.name for device in zoo_registry.devices}
    well = {"same_module", "well", "loud", "heavy", "double", "deletes_variable", "forking_import"}
    assert offered == well | set(zoo.BAD_PROBES) | set(zoo.HOOKS_AFTER)


def test_too_new_plugins_are_not_imported(zoo_registry):
    assert zoo_registry.plugins
    assert "zoo_too_new.hooks" not in sys.modules  # one of the previous major may be adapted


def test_a_row_says_what_the_plugin_is(find, tmp_path):
    row = row_of(find(zoo.install(tmp_path, "well", version="1.2.3")), "well")
    assert (row.dist, row.version, row.api) == ("zoo-well", "1.2.3", "v1")
    assert (row.kinds, row.provides) == (("device",), ("well",))
    assert row.hooks == ("ds_register_devices",)
    assert row.location == str(tmp_path)
    assert row.load_ms > 0


def test_the_keys_of_a_row_are_frozen(find, tmp_path):
    row = row_of(find(zoo.install(tmp_path, "well")), "well")
    assert list(row.to_json()) == [
        "name", "dist", "version", "api", "group", "entry_point", "location", "status", "reason",
        "remedy", "kinds", "provides", "hooks", "load_ms", "heavy_modules",
    ]  # fmt: skip


def test_what_a_plugin_prints_goes_to_stderr(find, tmp_path, capfd):
    find(
        zoo.install(
            tmp_path, "loud", hooks="import os\nprint('a')\nos.write(1, b'b')\n" + zoo.HOOKS
        )
    )
    printed = capfd.readouterr()
    assert printed.out == ""
    assert set(printed.err.split()) == {"a", "b"} or printed.err.strip() in ("ab", "ba")


def test_ctrl_c_during_an_import_passes(find, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        find(zoo.install(tmp_path, "stopped", hooks="raise KeyboardInterrupt\n"))


def test_a_missing_module_makes_a_plugin_unavailable_without_importing(find, tmp_path):
    hooks = zoo.HOOKS.replace('kind="sim"', 'kind="sim", requires=["sklearn_x", "json.nothing"]')
    registry = find(zoo.install(tmp_path, "needy", hooks=hooks))
    row = row_of(registry, "needy")
    assert row.status == "unavailable"
    assert row.reason == "needs sklearn_x, json.nothing, not installed"
    assert (
        row.remedy == "see the documentation of zoo-needy for what brings sklearn_x, json.nothing"
    )
    (device,) = registry.devices
    assert not device.usable and device.reason == row.reason


def test_a_plugin_stays_available_when_one_of_its_records_lacks_something(find, tmp_path):
    hooks = """
        from deepseek_core import DeviceSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            yield DeviceSpec(name="a", kind="sim", factory="a.b:C", probe="a.b:d")
            yield DeviceSpec(name="b", kind="sim", factory="a.b:C", probe="a.b:d", requires=["nix"])
        """
    registry = find(zoo.install(tmp_path, "half", hooks=hooks))
    row = row_of(registry, "half")
    assert (row.status, row.reason) == ("available", "b needs nix, not installed")
    assert [device.usable for device in registry.devices] == [True, False]


def test_a_missing_entry_point_module_asks_for_a_reinstallation(find, tmp_path):
    zoo.describe(tmp_path, "zoo-gone", "1.0", f"[{zoo.V1}]\ngone = zoo_gone.hooks\n")
    row = row_of(find(tmp_path), "gone")
    assert row.remedy == "pip install --force-reinstall zoo-gone (or pip uninstall zoo-gone)"


def test_an_entry_point_may_name_an_object(find, tmp_path):
    hooks = (
        "import types\nfrom deepseek_core import hookimpl, hooks as specs\n"
        + """
@hookimpl(specs.ds_register_devices)
def devices(ctx):
    return []

plugin = types.SimpleNamespace(inner=types.SimpleNamespace(devices=devices))
"""
    )
    zoo.install(tmp_path, "nested", hooks=hooks)
    zoo.describe(
        tmp_path, "zoo-nested", "1.0.0", f"[{zoo.V1}]\nnested = zoo_nested.hooks:plugin.inner [x]\n"
    )
    assert row_of(find(tmp_path), "nested").status == "available"


def test_the_context_has_the_version_the_api_and_the_settings(find, tmp_path):
    hooks = """
        from deepseek_core import DeviceSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_devices)
        def devices(ctx):
            assert ctx.api == (1, 1) and ctx.core_version
            name = ctx.settings["device"]
            return [DeviceSpec(name=name, kind="sim", factory="a.b:C", probe="a.b:d")]
        """
    folder = zoo.install(tmp_path, "told", hooks=hooks)
    registry = find(folder, settings={"told": {"device": "from_settings"}})
    assert row_of(registry, "told").provides == ("from_settings",)


def test_disabling_all_imports_none(find, tmp_path):
    registry = find(zoo.install(tmp_path, "well"), no_plugins=True)
    row = row_of(registry, "well")
    assert (row.status, row.reason) == (
        "disabled",
        "all plugins are switched off by argument no_plugins",
    )
    assert "zoo_well.hooks" not in sys.modules


@pytest.mark.parametrize("word", ["well", "zoo-well", "zoo_well:well"])
def test_a_disabled_plugin_says_who_said_so(word, find, tmp_path):
    row = row_of(find(zoo.install(tmp_path, "well"), disable=(word,)), "well")
    assert (row.status, row.reason) == ("disabled", "switched off by argument disable")
    assert row.remedy == f"take {word!r} out of argument disable"


def test_an_allow_list_blocks_and_imports_nothing_else(find, tmp_path):
    zoo.install(tmp_path, "well")
    registry = find(zoo.install(tmp_path, "other"), allow=("well",))
    row = row_of(registry, "other")
    assert (row.status, row.reason) == ("blocked", "not in the allow-list of argument allow")
    assert row.remedy == "add 'other' to argument allow"
    assert "zoo_other.hooks" not in sys.modules


@pytest.mark.parametrize(
    "switches",
    [
        {"prefer": {"twin": "zoo-twin-a"}},
        {"disable": ("zoo-twin-b",)},
        {"allow": ("zoo-twin-a:twin",)},
    ],
)
def test_a_conflict_of_names_is_decided_by_the_user(switches, find, tmp_path):
    zoo.install(tmp_path, "twin", dist="zoo-twin-a", module="zoo_twin_a", device="twin_a")
    zoo.install(tmp_path, "twin", dist="zoo-twin-b", module="zoo_twin_b", device="twin_b")
    registry = find(tmp_path, **switches)
    assert row_of(registry, "twin", "zoo-twin-a").status == "available"
    assert row_of(registry, "twin", "zoo-twin-b").status in ("disabled", "blocked")
    assert [device.dist for device in registry.devices] == ["zoo-twin-a"]


def test_a_conflict_of_records_is_decided_by_preference(find, tmp_path):
    zoo.install(tmp_path, "rival_a", device="contested")
    registry = find(
        zoo.install(tmp_path, "rival_b", device="contested"), prefer={"contested": "zoo-rival-b"}
    )
    assert [device.dist for device in registry.devices] == ["zoo-rival-b"]
    assert row_of(registry, "rival_b").status == "available"


def test_a_preference_for_a_name_that_is_not_offered_is_a_notice(find, tmp_path):
    registry = find(zoo.install(tmp_path, "well"), prefer={"wel": "zoo-well"})
    (notice,) = registry.notices
    assert notice.text == "argument prefer: zoo-well offers nothing named 'wel'"
    assert notice.remedy == "did you mean well?"
    assert row_of(registry, "well").status == "available"


def test_an_unknown_name_in_a_switch_is_a_notice(find, tmp_path):
    registry = find(zoo.install(tmp_path, "well"), disable=("wel",))
    (notice,) = registry.notices
    assert notice.text == "argument disable names 'wel', and no such plugin is installed"
    assert row_of(registry, "well").status == "available"


def test_strict_mode_refuses_an_unknown_name(find, tmp_path):
    with pytest.raises(ConfigError, match="names 'wel'") as caught:
        find(zoo.install(tmp_path, "well"), disable=("wel",), strict=True)
    assert caught.value.remedy == "did you mean well? (or unset argument strict)"


def test_strict_mode_raises_with_the_reason(find, tmp_path):
    zoo.install(tmp_path, "well")
    with pytest.raises(PluginError, match="plugin 'exits' is broken: import failed") as caught:
        find(zoo.install(tmp_path, "exits", hooks="raise SystemExit(1)"), strict=True)
    assert "pip uninstall zoo-exits" in caught.value.remedy


def test_tracing_tells_each_call(find, tmp_path, capfd):
    find(zoo.install(tmp_path, "well"), trace_hooks=True)
    assert "hook: well: devices answered in" in capfd.readouterr().err


def test_a_plugin_for_two_apis_is_loaded_once(find, tmp_path):
    zoo.install(tmp_path, "both")
    text = f"[deepseek_sdk.plugins.v2]\nboth = zoo_both.new\n[{zoo.V1}]\nboth = zoo_both.hooks\n"
    zoo.describe(tmp_path, "zoo-both", "1.0.0", text)
    row = row_of(find(tmp_path), "both")
    assert (row.status, row.api) == ("available", "v1")


def test_broken_metadata_hides_nobody(find, tmp_path):
    zoo.install(tmp_path, "well")
    zoo.describe(tmp_path, "zoo-bytes", "1.0", "").joinpath("entry_points.txt").write_bytes(b"\xff")
    zoo.describe(tmp_path, "zoo-typo", "1.0", f"[{zoo.V1}]\nno equals sign\n")
    (tmp_path / "zoo_empty-1.0.dist-info").mkdir()
    (tmp_path / "~oo_half-1.0.dist-info").mkdir()
    (tmp_path / "zoo_file-1.0.dist-info").write_text("not a folder")
    registry = find(tmp_path)
    assert [row.name for row in registry.plugins] == ["well", "zoo-typo"]
    row = row_of(registry, "zoo-typo")
    assert row.status == "broken"
    assert row.reason == "malformed metadata: entry_points.txt, line 2: 'no equals sign'"


def test_a_distribution_without_a_metadata_file_still_has_name_and_version(tmp_path):
    zoo.install(tmp_path, "well", version="3.1")
    (tmp_path / "zoo_well-3.1.dist-info/METADATA").unlink()
    (point,) = scan([str(tmp_path)])
    assert (point.dist, point.version) == ("zoo_well", "3.1")


def test_the_first_of_two_versions_on_the_path_counts(tmp_path):
    first = zoo.install(tmp_path / "a", "well", version="2.0")
    second = zoo.install(tmp_path / "b", "well", version="1.0")
    path = [str(first), str(second), str(tmp_path / "missing")]
    assert [point.version for point in scan(path)] == ["2.0"]
    assert [dist.version for dist in distributions(path)] == ["2.0", "1.0"]


def test_zip_files_on_the_path_are_scanned_too(tmp_path):
    import zipfile

    folder = zoo.install(tmp_path / "zoo", "zipped")
    archive = tmp_path / "zoo.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in folder.rglob("*"):
            file.write(path, path.relative_to(folder))
    (point,) = scan([str(archive)])
    assert (point.name, point.dist, point.version) == ("zipped", "zoo-zipped", "1.0.0")


def test_scanning_agrees_with_the_standard_library():
    from importlib import metadata

    theirs = {
        (point.group, point.name, point.value)
        for dist in metadata.distributions()
        for point in dist.entry_points
        if point.group.startswith("deepseek_sdk.plugins.")
    }
    assert {(point.group, point.name, point.value) for point in scan()} == theirs


def test_triage_loads_nothing_and_leaves_the_status_open():
    point = EntryPoint(name="npu", value="no.such.module", group=zoo.V1, dist="acme")
    ((_point, row),) = triage([point], Switches())
    assert row.status is None


def test_a_group_without_a_version_is_incompatible(find):
    point = EntryPoint(name="npu", value="x", group="deepseek_sdk.plugins.vnext", dist="acme")
    (row,) = discover(Switches(), entry_points=[point]).plugins
    assert row.status == "incompatible"
    assert "names no API version" in row.reason


def test_there_is_one_kind_for_each_hook():
    from deepseek_core.discovery.families import FAMILIES, LISTENER

    assert tuple(family.kind for family in (*FAMILIES, LISTENER)) == KINDS
    assert {family.hook for family in (*FAMILIES, LISTENER)} == set(HOOK_NAMES)


def test_two_names_of_one_module_are_one_plugin_and_a_remedy_that_helps(find, tmp_path):
    zoo.install(tmp_path, "same")
    lines = "same = zoo_same.hooks\nsame_too = zoo_same.hooks\n"
    zoo.describe(tmp_path, "zoo-same", "1.0.0", f"[{zoo.V1}]\n{lines}")
    first, second = find(tmp_path).plugins
    assert (first.name, first.status) == ("same", "available")
    assert (second.name, second.status, second.reason, second.remedy) == (
        "same_too",
        "broken",
        "what it names is already registered as plugin 'same', which works",
        "DEEPSEEK_DISABLE_PLUGINS=same_too (its authors have to take it out)",
    )
    followed = find(tmp_path, disable=("same_too",)).plugins
    assert [row.status for row in followed] == ["available", "disabled"]


def test_one_name_twice_in_one_distribution_is_a_sentence(find, tmp_path):
    zoo.install(tmp_path, "twice")
    lines = "twice = zoo_twice.hooks\ntwice = zoo_twice.device\n"
    zoo.describe(tmp_path, "zoo-twice", "1.0.0", f"[{zoo.V1}]\n{lines}")
    told = {(row.status, row.reason, row.remedy) for row in find(tmp_path).plugins}
    assert told == {
        (
            "conflict",
            "zoo-twice has the name 'twice' twice: zoo_twice.hooks and zoo_twice.device",
            "pip install -U zoo-twice (or pip uninstall zoo-twice)",
        )
    }
