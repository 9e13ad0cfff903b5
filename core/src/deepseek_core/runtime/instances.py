"""Task graphs and schedules as JSON files; the format is `task_graph_format.md`.

`read_instance` also takes WfCommons WfFormat, and costs by reference to StarPU performance
models that lie beside the file.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from deepseek_core.contracts.errors import ArtifactError, DeepSeekError, InputError
from deepseek_core.contracts.files import whole_file
from deepseek_core.runtime.starpu_models import starpu_costs
from deepseek_core.runtime.wfformat import is_wfformat, read_wfformat
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.nodes import DagDevice, DagTask, Id
from deepseek_core.schedule.dag.schedule import Schedule, TaskPlacement

Limits = Literal["respect", "ignore"]
_REMEDY: Final = "sdk_docs/reference/task_graph_format.md says what a file holds"
# Their memory and colocation belong to the throughput problem of the paper that they come from;
# the makespans that are published for them leave both out.
_UNLIMITED_FAMILIES: Final = frozenset({"dnn"})


def read_instance(path: Path, *, limits: Limits | None = None) -> TaskGraph:
    """The task graph of a file.

    `limits` says whether memory and colocation restrict the schedule; None leaves it to the
    file (its key `limits`).

    Raises:
        ArtifactError: no such file, no JSON, or neither a task graph nor a workflow.
        InputError, GraphError, NoDevice: a task graph that is not valid.
    """
    content = _read_json(path)
    if is_wfformat(content):
        return read_wfformat(content)
    graph = graph_from_json(content, folder=path.parent)
    chosen = limits or _stated_limits(content)
    return graph.without_limits() if chosen == "ignore" else graph


def graph_from_json(content: Any, *, folder: Path = Path()) -> TaskGraph:
    """The task graph that a parsed file holds; models are looked for in `folder`.

    Raises:
        ArtifactError: keys are missing or of a wrong type.
        InputError, GraphError, NoDevice: a task graph that is not valid.
    """
    if not isinstance(content, dict) or "tasks" not in content or "devices" not in content:
        raise ArtifactError(
            "the file holds no task graph: no `tasks` or no `devices`", remedy=_REMEDY
        )
    try:
        return _graph(content, _models(content.get("models", {}), folder))
    except DeepSeekError:
        raise
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        what = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ArtifactError(f"the task graph is malformed: {what}", remedy=_REMEDY) from error


def _graph(content: Mapping[str, Any], models: Mapping[str, Mapping[int, Any]]) -> TaskGraph:
    nodes = len(content.get("mem_nodes", ["memory"]))
    nothing: list[list[float | None]] = [[None] * nodes for _ in range(nodes)]
    tasks = [_task(row, models) for row in content["tasks"]]
    return TaskGraph(
        name=str(content.get("name", "graph")),
        unit=str(content.get("unit", "s")),
        devices=[_device(row) for row in content["devices"]],
        bandwidth=content.get("bandwidth", nothing),
        latency=content.get("latency", [[0.0] * nodes for _ in range(nodes)]),
        tasks=tasks,
        edges=_edges(content.get("edges", []), tasks),
    )


def _id(value: Any) -> Id:
    """What names a task or a device, as it stands in the file."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ArtifactError(
            f"an id must be a text or a finite number, got {value!r}", remedy=_REMEDY
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ArtifactError(
            f"an id must be a text or a finite number, got {value!r}", remedy=_REMEDY
        )
    return value


def _device(row: Mapping[str, Any]) -> DagDevice:
    return DagDevice(
        id=_id(row["id"]),
        type=str(row["type"]),
        mem=int(row.get("mem", 0)),
        mem_bytes=row.get("mem_bytes"),
        pool=None if row.get("pool") is None else str(row["pool"]),
    )


def _task(row: Mapping[str, Any], models: Mapping[str, Mapping[int, Any]]) -> DagTask:
    cost, deviation = row.get("cost"), row.get("dev", {})
    if cost is None:
        cost, deviation = _from_model(row, models)
    together = row.get("colocate")
    return DagTask(
        id=_id(row["id"]),
        cost=dict(cost),
        name=str(row.get("name", "")),
        deviation=deviation,
        mem_bytes=row.get("mem_bytes") or 0.0,
        mem_by_type=dict(row.get("mem_by_type", {})),
        colocate=None if together is None else str(together),
        stateful=_flag(row, "stateful"),
    )


def _flag(row: Mapping[str, Any], key: str) -> bool:
    value = row.get(key, False)
    if not isinstance(value, bool):
        raise InputError(f"task {row['id']!r}: `{key}` must be true or false, got {value!r}")
    return value


def _edges(rows: Sequence[Any], tasks: Sequence[DagTask]) -> list[tuple[Id, Id, float]]:
    resolved = _by_spelling(task.id for task in tasks)
    found = []
    for row in rows:
        source, target, *nbytes = row
        found.append((resolved(_id(source)), resolved(_id(target)), nbytes[0] if nbytes else 0.0))
    return found


def _by_spelling(known: Iterable[Id]) -> Callable[[Id], Id]:
    """Finds the id that is meant; one that is a number may be spelled as text."""
    ids = set(known)
    spelled: dict[str, list[Id]] = {}
    for one in ids:
        spelled.setdefault(str(one), []).append(one)

    def resolved(given: Id) -> Id:
        alike = spelled.get(str(given), [])
        return given if given in ids or len(alike) != 1 else alike[0]

    return resolved


def _models(named: Mapping[str, str], folder: Path) -> dict[str, Mapping[int, Any]]:
    return {name: starpu_costs(folder / file) for name, file in named.items()}


def _from_model(
    row: Mapping[str, Any], models: Mapping[str, Mapping[int, Any]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Costs and deviations by device type that a StarPU model has for the task's size."""
    where = f"task {row['id']!r}"
    if "model" not in row:
        raise ArtifactError(f"{where} has neither `cost` nor `model`", remedy=_REMEDY)
    if row["model"] not in models:
        raise InputError(f"{where} names the model {row['model']!r}, which `models` lacks")
    sizes = models[row["model"]]
    if row["size"] not in sizes:
        known = ", ".join(map(str, sorted(sizes)[:8]))
        raise InputError(
            f"{where}: the model {row['model']!r} has no entry of {row['size']} bytes",
            remedy=f"it knows {known}",
        )
    entries = sizes[row["size"]]
    return (
        {kind: entry.mean_s for kind, entry in entries.items()},
        {kind: entry.deviation_s for kind, entry in entries.items()},
    )


def _stated_limits(content: Mapping[str, Any]) -> Limits:
    usual = "ignore" if content.get("family") in _UNLIMITED_FAMILIES else "respect"
    stated = content.get("limits", usual)
    if stated not in ("respect", "ignore"):
        raise InputError(f"`limits` must be respect or ignore, got {stated!r}")
    return "ignore" if stated == "ignore" else "respect"


def has_limits(graph: TaskGraph) -> bool:
    """Whether memory or colocation restricts where tasks may run."""
    return bool(graph.groups) or any(d.mem_bytes is not None for d in graph.devices)


def write_schedule(path: Path, content: Mapping[str, Any]) -> None:
    """Write `{"makespan": .., "placements": [..], ..}`; the file is whole or absent."""
    with whole_file(path) as partial:
        partial.write_text(json.dumps(content) + "\n", encoding="utf-8")


def read_schedule(path: Path, graph: TaskGraph) -> Schedule:
    """A schedule of this graph as `write_schedule` or somebody else wrote it, unchecked.

    Without a `makespan` it is the end of the last task.

    Raises:
        ArtifactError: no such file, no JSON, or no placements.
    """
    content = _read_json(path)
    try:
        task = _by_spelling(task.id for task in graph.tasks)
        device = _by_spelling(device.id for device in graph.devices)
        placements = tuple(
            TaskPlacement(
                task=task(_id(row["task"])),
                device=device(_id(row["device"])),
                start=float(row["start"]),
                end=float(row["end"]),
            )
            for row in content["placements"]
        )
        makespan = content.get("makespan", max((p.end for p in placements), default=0.0))
        return Schedule(
            graph=graph.name,
            unit=graph.unit,
            algorithm=str(content.get("algorithm", path.name)),
            makespan=float(makespan),
            lower_bound=0.0,
            placements=placements,
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"key {error} is missing" if isinstance(error, KeyError) else str(error)
        raise ArtifactError(f"{path} holds no schedule: {what}", remedy=_REMEDY) from error


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path} is not JSON: {error}", remedy=_REMEDY) from error
