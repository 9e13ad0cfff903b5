"""`ds-sdk schedule --check`: whether a schedule that somebody made can be executed as written."""

from __future__ import annotations

from pathlib import Path

from deepseek_core.cli.answer import print_json
from deepseek_core.cli.table import print_text
from deepseek_core.runtime.instances import read_schedule
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.validity import faults


def check_schedule(graph: TaskGraph, path: Path, *, as_json: bool) -> int:
    """Print what is wrong with a schedule of the graph; exit code 1 if anything is.

    Raises:
        ArtifactError: the file holds no schedule.
    """
    schedule = read_schedule(path, graph)
    found = faults(graph, schedule)
    if as_json:
        print_json({"makespan": schedule.makespan, "faults": found})
    elif found:
        print_text("\n".join(found))
    else:
        print_text(f"{path.name} is valid: makespan {schedule.makespan:.9g} {graph.unit}")
    return 1 if found else 0
