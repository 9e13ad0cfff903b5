"""`ds-sdk check-plugin` and the other ways in: outcomes, reports, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import plugin_zoo as zoo
import pytest

HERE = Path(__file__).parent
CANARY = "canary-7f3a91c5"

# One rule for each way to end; the page must not be broken by what a rule says.
OUTCOMES = '''
import os, time
import pytest
from deepseek_core.testing import PluginConformance

class TestEndings(PluginConformance):
    plugin = "endings"

    def test_a_passes(self):
        """Nothing to see."""
    def test_b_fails(self):
        pytest.fail("<script>alert(1)</script>")
    def test_c_crashes(self):
        os.abort()
    def test_d_hangs(self):
        time.sleep(600)
    def test_e_leaves(self):
        os._exit(7)
    def test_f_skips(self):
        pytest.skip("no board today")
    def test_g_passes_still(self):
        """The ones before did not take it down."""
'''


def install(folder, name, conformance=None, hooks=zoo.HOOKS):
    """A plugin that ships a module with test classes."""
    words = {"hooks": hooks}
    if conformance is not None:
        words["hooks"] = f'conformance = "zoo_{name}.conformance"\n{hooks}'
    zoo.install(folder, name, **words)
    metadata = next(folder.glob(f"zoo_{name}-*.dist-info")) / "METADATA"
    metadata.write_text(metadata.read_text() + "Requires-Dist: deepseek-core>=0.1,<9\n")
    if conformance is not None:
        (folder / f"zoo_{name}" / "conformance.py").write_text(conformance)
    return folder


def check(folder, *words, **more):
    return zoo.ds_sdk("check-plugin", *words, path=[folder, HERE], timeout_s=120, **more)


def outcomes(report):
    return {rule["rule"]: rule["outcome"] for rule in report["rules"]}


@pytest.fixture(scope="module")
def endings(tmp_path_factory):
    """The run over every way to end: its exit code, its JSON, and its page."""
    folder = install(tmp_path_factory.mktemp("endings"), "endings", OUTCOMES)
    page = folder / "report.html"
    words = ("--group", "own", "--timeout", "5", "--json", "--report", str(page))
    run = check(folder, "endings", *words)
    return run.returncode, json.loads(run.stdout), page.read_text()


def test_every_way_to_end_is_an_outcome(endings):
    code, report, _ = endings
    assert outcomes(report) == {
        "test_a_passes": "passed",
        "test_b_fails": "failed",
        "test_c_crashes": "crashed",
        "test_d_hangs": "hung",
        "test_e_leaves": "crashed",
        "test_f_skips": "skipped",
        "test_g_passes_still": "passed",
    }
    assert (code, report["passed"]) == (1, False)
    keys = ("schema", "plugin", "dist", "version", "core", "python", "system", "passed", "counts")
    assert set(report) == {*keys, "rules"}


def test_outcomes_say_why(endings):
    texts = {rule["rule"]: rule["text"] for rule in endings[1]["rules"]}
    assert "SIGABRT" in texts["test_c_crashes"]
    assert "no end in 5 s" in texts["test_d_hangs"]
    assert "code 7" in texts["test_e_leaves"]
    assert texts["test_f_skips"] == "no board today"


def test_the_page_needs_nothing_else_and_escapes_what_rules_say(endings):
    page = endings[2]
    assert "&lt;script&gt;" in page
    assert not any(word in page for word in ("<script", "http:", "https:", "src=", "<link", "url("))
    assert page.count("<tr>") == 1 + 7


def test_what_a_plugin_does_not_ship_is_not_implemented(tmp_path):
    zoo.describe(tmp_path, "bad-sound", "1.0", f"[{zoo.V1}]\nsound = bad_samples.generic.sound\n")
    run = check(tmp_path, "sound", "--group", "tier", "--json")
    report = json.loads(run.stdout)
    assert run.returncode == 1  # nothing passed, so nothing is known
    assert set(outcomes(report).values()) == {"not implemented"}
    assert "return a URL from make_url" in report["rules"][0]["text"]


def test_a_plugin_without_classes_of_its_own_is_checked_for_what_all_promise(tmp_path):
    install(tmp_path, "bare")
    with (tmp_path / "zoo_bare" / "device.py").open("a") as file:
        file.write("\nclass Device:\n    pass\n")
    report = tmp_path / "report.json"
    run = check(tmp_path, "zoo-bare", "--group", "plugin", "--json", "--report", str(report))
    assert run.returncode == 0, run.stdout
    assert set(outcomes(json.loads(run.stdout)).values()) == {"passed"}
    assert json.loads(report.read_text()) == json.loads(run.stdout)


def test_a_plugin_that_does_not_load_fails_that_rule_alone(tmp_path):
    install(tmp_path, "lame", hooks="import module_that_nobody_has\n")
    run = check(tmp_path, "lame")
    lines = [line.strip() for line in run.stdout.splitlines()]
    failed = [line for line in lines if line.startswith("FAILED")]
    assert [line.split(maxsplit=1)[1] for line in failed] == ["it loads"]
    assert "(or pip uninstall zoo-lame)" in lines[lines.index(failed[0]) + 1]
    assert lines[-1].startswith("lame (zoo-lame 1.0.0) does not conform: ")


def test_a_module_of_classes_that_fails_to_import_is_told(tmp_path):
    install(tmp_path, "torn", "import module_that_nobody_has\n")
    run = check(tmp_path, "torn", "--json")
    report = json.loads(run.stdout)
    assert outcomes(report) == {"test_its_rules_can_be_collected": "failed"}
    assert "module_that_nobody_has" in report["rules"][0]["text"]


def test_no_report_shows_the_secret_that_a_plugin_shows(tmp_path):
    hooks = zoo.HOOKS.replace('kind="sim"', "kind=\"sim\", summary=str(ctx.settings.get('token'))")
    install(tmp_path, "chatty", hooks=hooks)
    run = check(tmp_path, "chatty", "--group", "plugin", "--json")
    assert outcomes(json.loads(run.stdout))["test_it_keeps_secrets"] == "failed"
    assert CANARY not in run.stdout + run.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["lonly"], "did you mean lonely"),
        (["lonely", "--group", "tiers"], "no group of rules 'tiers' -> use one of"),
        (["lonely", "--report", "out.pdf"], "end it in .json or .html"),
        (["lonely", "--report", "no/such/folder.html"], "there is no folder"),
        (["lonely", "--timeout", "0"], "more than 0"),
    ],
)
def test_wrong_arguments_are_told_with_a_remedy(tmp_path, words, said):
    run = check(install(tmp_path, "lonely"), *words)
    assert run.returncode == 2
    assert said in run.stderr.replace("\nfix: ", " -> ")
    assert run.stdout == ""


def test_without_pytest_it_says_how_to_get_it(tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for module in ("attr", "attrs", "pluggy"):
        package = next(p for p in map(Path, sys.path) if (p / module).is_dir())
        (bare / module).symlink_to(package / module)
    path = os.pathsep.join(map(str, [bare, install(tmp_path, "lonely"), zoo.SOURCES]))
    run = subprocess.run(
        [sys.executable, "-S", "-P", "-m", "deepseek_core", "check-plugin", "lonely"],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        check=False,
    )
    assert run.returncode == 2
    assert "check-plugin needs pytest" in run.stderr
    assert "pip install pytest" in run.stderr


def pytest_run(folder, *words):
    (folder / "pytest.ini").write_text("[pytest]\n")
    path = os.pathsep.join(map(str, [folder, HERE, zoo.SOURCES]))
    return subprocess.run(
        [
            *(sys.executable, "-P", "-m", "pytest", "-q", "-rs", "-c", "pytest.ini"),
            *("-p", "no:cacheprovider", "--import-mode=importlib", *words),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        check=False,
    )


SUITE = ("-p", "deepseek_core.testing", "--pyargs", "deepseek_core.testing.suite")


def test_the_suite_runs_under_pytest(tmp_path):
    run = pytest_run(install(tmp_path, "suited", OUTCOMES.replace("endings", "suited")), *SUITE,
                     "--ds-plugin", "suited", "-k", "plain or still or skips")  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert "2 passed, 1 skipped" in run.stdout
    assert "no board today" in run.stdout


def test_the_suite_asks_for_a_plugin(tmp_path):
    run = pytest_run(tmp_path, *SUITE)
    assert run.returncode != 0
    assert "--ds-plugin NAME" in run.stdout


WAIVERS = """
from deepseek_core.testing import PluginConformance

pytest_plugins = ["deepseek_core.testing"]

class TestExcused(PluginConformance):
    plugin = "lonely"
    waivers = {"test_its_name_is_plain": "named so since 1998"}

class TestUnexcused(PluginConformance):
    plugin = "lonely"
    waivers = {"test_its_name_is_plain": " "}
"""


def test_a_waiver_needs_a_reason(tmp_path):
    install(tmp_path, "lonely")
    (tmp_path / "test_lonely.py").write_text(WAIVERS)
    run = pytest_run(tmp_path, "test_lonely.py", "-k", "name_is_plain")
    assert "waived: named so since 1998" in run.stdout
    assert "the waiver of test_its_name_is_plain gives no reason" in run.stdout
    assert run.returncode == 1
