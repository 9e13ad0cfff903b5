"""The files of tests/data/topology, read."""

import json
from pathlib import Path

from deepseek_observe.advise.environment.lint import lint
from deepseek_observe.advise.environment.reading import parse_environment
from deepseek_observe.advise.environment.rule import Case
from deepseek_observe.advise.joining import joined
from deepseek_observe.advise.topology.opening import read_topology

DATA = Path(__file__).parents[2] / "data" / "topology"
CLEAN = sorted(path.stem for path in (DATA / "clean").glob("*.env"))
PLANTED = json.loads((DATA / "planted.json").read_text())["planted"]
ALARMS = ("warning", "unset")


def machine(*names):
    return joined([read_topology(DATA / name) for name in names])


def clean_text(name):
    return (DATA / "clean" / f"{name}.env").read_text()


def alarms(text, topology=None):
    """What is warned of, and what is to be unset."""
    told = parse_environment(text, "test")
    case = Case(env=told.values, topology=topology)
    return [one for one in lint(case) if one.kind.value in ALARMS]
