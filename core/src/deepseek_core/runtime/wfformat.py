"""Workflows in WfCommons' WfFormat as task graphs: https://wfcommons.org/format (1.3 to 1.5).

A workflow says how long each task ran, not on which devices it may run: the machine is an
argument. An edge carries the bytes of the files that its source writes and its target reads. It is
named by its target (`parents`), its source (`children`), or both; what one of them names counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ArtifactError, DeepSeekError, GraphError
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask, Id


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
    id: Id
    name: str
    runtime_s: float
    parents: tuple[Id, ...]
    children: tuple[Id, ...]
    reads: Mapping[str, float]
    writes: Mapping[str, float]


def is_wfformat(content: Any) -> bool:
    """Whether a parsed JSON file is a workflow in WfFormat."""
    return isinstance(content, dict) and isinstance(content.get("workflow"), dict)


def read_wfformat(content: Mapping[str, Any], machine: Machine = DEFAULT_MACHINE) -> TaskGraph:
    """The workflow on a machine; costs and transfers in seconds.

    Raises:
        ArtifactError: keys are missing or of a wrong type.
        GraphError, InputError: a workflow that is not a valid task graph.
    """
    try:
        tasks = list(_tasks(content["workflow"]))
        name = str(content.get("name", "workflow"))
    except DeepSeekError:
        raise
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
        edges=[(a, b, _moved(by_id[a], by_id[b])) for a, b in _pairs(tasks, by_id)],
    )


def _pairs(tasks: list[_Task], by_id: Mapping[Id, _Task]) -> dict[tuple[Id, Id], None]:
    """Source and target of each edge, once.

    Raises:
        GraphError: a parent or a child that is not a task.
    """
    found: dict[tuple[Id, Id], None] = {}
    for task in tasks:
        for word, others in (("parents", task.parents), ("children", task.children)):
            for other in others:
                if other not in by_id:
                    raise GraphError(
                        f"task {task.id!r} names {other!r} among its {word}, and there is no task "
                        f"{other!r}",
                        remedy="add the task to the workflow, or take its name out there",
                    )
                pair = (other, task.id) if word == "parents" else (task.id, other)
                found[pair] = None
    return found


def _moved(parent: _Task, task: _Task) -> float:
    """Bytes of the files that pass."""
    return float(sum(n for file, n in parent.writes.items() if file in task.reads))


def _tasks(workflow: Mapping[str, Any]) -> Iterator[_Task]:
    return _tasks_since_1_5(workflow) if "specification" in workflow else _tasks_before(workflow)


def _tasks_since_1_5(workflow: Mapping[str, Any]) -> Iterator[_Task]:
    specification = workflow["specification"]
    runtime = {row["id"]: row["runtimeInSeconds"] for row in workflow["execution"]["tasks"]}
    nbytes = {row["id"]: float(row["sizeInBytes"]) for row in specification.get("files", [])}
    for row in specification["tasks"]:
        yield _Task(
            id=row["id"],
            name=str(row.get("name", "")),
            runtime_s=float(runtime[row["id"]]),
            parents=tuple(row.get("parents", [])),
            children=tuple(row.get("children", [])),
            reads={file: nbytes.get(file, 0.0) for file in row.get("inputFiles", [])},
            writes={file: nbytes.get(file, 0.0) for file in row.get("outputFiles", [])},
        )


def _tasks_before(workflow: Mapping[str, Any]) -> Iterator[_Task]:
    """Up to 1.4 a task carries its files; others are named by id or by name."""
    rows = workflow["tasks"]
    known = {row.get("id", row["name"]) for row in rows}
    by_name: dict[Id, list[Id]] = {}
    for row in rows:
        by_name.setdefault(row["name"], []).append(row.get("id", row["name"]))

    def named(others: list[Id]) -> tuple[Id, ...]:
        return tuple(p if p in known else _only(p, by_name.get(p, [p])) for p in others)

    for row in rows:
        files = row.get("files", [])
        yield _Task(
            id=row.get("id", row["name"]),
            name=str(row["name"]),
            runtime_s=float(row.get("runtimeInSeconds", row.get("runtime"))),
            parents=named(row.get("parents", [])),
            children=named(row.get("children", [])),
            reads=_files(files, "input"),
            writes=_files(files, "output"),
        )


def _only(name: Id, ids: list[Id]) -> Id:
    if len(ids) > 1:
        raise GraphError(
            f"an edge names the task {name!r}, and {len(ids)} tasks are called so",
            remedy="name the tasks of edges by their id",
        )
    return ids[0]


def _files(rows: list[Mapping[str, Any]], link: str) -> dict[str, float]:
    return {
        row.get("name", row.get("id", "")): float(row.get("sizeInBytes", row.get("size", 0.0)))
        for row in rows
        if row["link"] == link
    }
