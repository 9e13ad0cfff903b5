"""Each bad sample fails the one rule that it breaks, and every rule has its sample."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import plugin_zoo as zoo
import pytest
from bad_samples.table import SAMPLES, camel

HERE = Path(__file__).parent
FILES = {
    "tier": "tiers",
    "compressor": "compressors",
    "model_compressor": "model_compressors",
    "score": "scores",
    "strategy": "strategies",
    "frontend": "frontends",
    "command": "commands",
    "executor": "executors",
    "application": "applications",
    "device": "devices",
}
ALL = [(kind, name, rule) for kind, samples in SAMPLES.items() for name, rule in samples.items()]
# Rules that no sample of their kind breaks, because they are those of all plugins.
GENERIC = {f"test_{rule}" for rule in SAMPLES["plugin"].values() if rule}
# Rules of every kind over what its use leaves behind: the devices have the samples.
TRACES = {f"test_{rule}" for rule in SAMPLES["device"].values() if rule and "using_it" in rule}


def describe(folder, dist, plugin, module, bound=",<9"):
    info = zoo.describe(folder, dist, "1.0", f"[{zoo.V1}]\n{plugin} = {module}\n")
    text = f"Metadata-Version: 2.1\nName: {dist}\nVersion: 1.0\n"
    (info / "METADATA").write_text(f"{text}Requires-Dist: deepseek-core>=0.1{bound}\n")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installed")
    for kind, file in FILES.items():
        describe(folder, f"bad-{kind}", f"bad_{kind}", f"bad_samples.{file}_hooks")
    for name in SAMPLES["plugin"]:
        module = f"bad_samples.generic.{name.replace('-', '_').lower()}"
        bound = "" if name == "needs_any_core" else ",<9"
        describe(folder, f"bad-{name}".lower().replace("_", "-"), name, module, bound)
    return folder


def ran(kind, installed, folder):
    """Run the kit on all samples of a kind, in one process; what it told."""
    where = [str(HERE / "bad_samples" / "plugins_conformance.py")]
    if kind in FILES:
        where = ["--pyargs", "deepseek_core.testing.suite", "--ds-plugin", f"bad_{kind}"]
    (folder / "pytest.ini").write_text("[pytest]\n")
    if kind == "device":
        where = ["-p", "abs_cases", *where]
    path = [str(installed), str(HERE), str(zoo.SOURCES)]
    environment = {"PYTHONPATH": os.pathsep.join(path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with (folder / "output").open("wb") as output:
        subprocess.run(
            [
                *(sys.executable, "-P", "-m", "pytest", "-q", "-c", "pytest.ini", "--rootdir=."),
                *("-p", "no:cacheprovider", "--import-mode=importlib", "--basetemp=temp"),
                *("-p", "deepseek_core.testing", "--ds-events", "events", *where),
            ],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | environment,
            timeout=240,
            check=False,
        )
    return read(folder / "events")


@pytest.fixture(scope="module")
def verdicts(installed, tmp_path_factory):
    """Kind -> sample's class -> rule -> outcome and text; two processes run at a time."""
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in SAMPLES}
    with ThreadPoolExecutor(2) as pool:
        runs = {kind: pool.submit(ran, kind, installed, folders[kind]) for kind in SAMPLES}
        return {kind: run.result() for kind, run in runs.items()}


def read(events):
    rules, outcomes = {}, {}
    for event in map(json.loads, events.read_text().splitlines()):
        if event["event"] == "found":
            rules[event["id"]] = event["subject"], event["rule"]
        elif event["event"] == "end":
            subject, rule = rules[event["id"]]
            outcomes.setdefault(subject, {})[rule] = event["outcome"], event["text"]
    return outcomes


@pytest.mark.parametrize(("kind", "name", "rule"), ALL, ids=[f"{k}-{n}" for k, n, _ in ALL])
def test_a_sample_fails_its_rule_and_no_other(verdicts, kind, name, rule):
    outcomes = verdicts[kind][f"Test{camel(name)}"]
    broken = {rule: text for rule, (outcome, text) in outcomes.items() if outcome == "failed"}
    assert list(broken) == ([f"test_{rule}"] if rule else []), broken
    assert {outcome for outcome, _ in outcomes.values()} <= {"passed", "failed", "skipped"}


@pytest.mark.parametrize("kind", SAMPLES)
def test_every_rule_has_a_sample(verdicts, kind):
    ran = {rule for outcomes in verdicts[kind].values() for rule in outcomes}
    sampled = {f"test_{rule}" for rule in SAMPLES[kind].values() if rule}
    elsewhere = {"plugin": set(), "device": GENERIC}.get(kind, GENERIC | TRACES)
    assert ran - sampled - elsewhere == set()


@pytest.mark.parametrize("kind", SAMPLES)
def test_the_sound_sample_passes_every_rule(verdicts, kind):
    outcomes = {rule: outcome for rule, (outcome, _) in verdicts[kind]["TestSound"].items()}
    skipped = [rule for rule, outcome in outcomes.items() if outcome != "passed"]
    by_flag = {"compressor": ["test_what_is_not_lossy_bounds_its_error_by_zero"]}
    assert skipped == by_flag.get(kind, [])
