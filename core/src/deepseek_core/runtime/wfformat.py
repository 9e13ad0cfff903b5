"""Workflows in WfCommons' WfFormat as task graphs: https://wfcommons.org/format (1.3 to 1.5).

A workflow says how long each task ran, not on which devices it may run: the machine is an
argument. An edge carries the bytes of the files that its source writes and its target reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ArtifactError
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask


@attrs.frozen(kw_only=True)
class Machine:
    """Devices by speed relative to that of the trace, each with its own memory, one link speed."""

    speeds: Mapping[str, float]
    types: Mapping[str, str]
    bytes_per_s: float


DEFAULT_MACHINE: Final = Machine(
    speeds={"s0": 1.0, "s1": 1.0, "f0": 2.0, "a0": 4.0},
    types={"s0": "cpu_slow", "s1": "cpu_slow", "f0": "cpu_fast", "a0": "accel"},
    bytes_per_s=1e8,
)


@attrs.frozen
class _Task:
    id: str
    name: str
    runtime_s: float
    parents: tuple[str, ...]
    reads: Mapping[str, float]
    writes: Mapping[str, float]


def is_wfformat(content: Any) -> bool:
    """Whether a parsed JSON file is a workflow in WfFormat."""
    return isinstance(content, dict) and isinstance(content.get("workflow"), dict)


def read_wfformat(content: Mapping[str, Any], machine: Machine = DEFAULT_MACHINE) -> TaskGraph:
    """The workflow on a machine; costs and transfers in seconds.

    Raises:
        ArtifactError: keys are missing or of a wrong type.
        GraphError, InputError: a workflow that is no valid task graph.
    """
    try:
        tasks = list(_tasks(content["workflow"]))
        name = str(content.get("name", "workflow"))
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ArtifactError(
            f"the workflow is malformed: {type(error).__name__} {error}",
            remedy="check it against the schema at wfcommons.org/format",
        ) from error
    return _graph(name, tasks, machine)


def _graph(name: str, tasks: list[_Task], machine: Machine) -> TaskGraph:
    devices = list(machine.speeds)
    count = len(devices)
    speed = {machine.types[d]: machine.speeds[d] for d in devices}
    by_id = {task.id: task for task in tasks}
    return TaskGraph(
        name=name,
        unit="s",
        devices=[DagDevice(id=d, type=machine.types[d], mem=n) for n, d in enumerate(devices)],
        bandwidth=[
            [None if a == b else machine.bytes_per_s for b in range(count)] for a in range(count)
        ],
        latency=[[0.0] * count for _ in range(count)],
        tasks=[
            DagTask(
                id=task.id,
                name=task.name,
                cost={kind: task.runtime_s / factor for kind, factor in speed.items()},
            )
            for task in tasks
        ],
        edges=[(p, task.id, _moved(by_id.get(p), task)) for task in tasks for p in task.parents],
    )


def _moved(parent: _Task | None, task: _Task) -> float:
    """Bytes of the files that pass; a parent that is missing is the graph's error to name."""
    if parent is None:
        return 0.0
    return float(sum(n for file, n in parent.writes.items() if file in task.reads))


def _tasks(workflow: Mapping[str, Any]) -> Iterator[_Task]:
    return _tasks_since_1_5(workflow) if "specification" in workflow else _tasks_before(workflow)


def _tasks_since_1_5(workflow: Mapping[str, Any]) -> Iterator[_Task]:
    specification = workflow["specification"]
    runtime = {row["id"]: row["runtimeInSeconds"] for row in workflow["execution"]["tasks"]}
    nbytes = {row["id"]: float(row["sizeInBytes"]) for row in specification.get("files", [])}
    for row in specification["tasks"]:
        yield _Task(
            id=str(row["id"]),
            name=str(row.get("name", "")),
            runtime_s=float(runtime[row["id"]]),
            parents=tuple(map(str, row.get("parents", []))),
            reads={file: nbytes.get(file, 0.0) for file in row.get("inputFiles", [])},
            writes={file: nbytes.get(file, 0.0) for file in row.get("outputFiles", [])},
        )


def _tasks_before(workflow: Mapping[str, Any]) -> Iterator[_Task]:
    """Up to 1.4 a task carries its files; parents are named by id or by name."""
    rows = workflow["tasks"]
    known = {row.get("id", row["name"]) for row in rows}
    ids = {row["name"]: row.get("id", row["name"]) for row in rows}
    for row in rows:
        files = row.get("files", [])
        yield _Task(
            id=str(row.get("id", row["name"])),
            name=str(row["name"]),
            runtime_s=float(row.get("runtimeInSeconds", row.get("runtime"))),
            parents=tuple(str(p if p in known else ids.get(p, p)) for p in row.get("parents", [])),
            reads=_files(files, "input"),
            writes=_files(files, "output"),
        )


def _files(rows: list[Mapping[str, Any]], link: str) -> dict[str, float]:
    return {
        row.get("name", row.get("id", "")): float(row.get("sizeInBytes", row.get("size", 0.0)))
        for row in rows
        if row["link"] == link
    }
