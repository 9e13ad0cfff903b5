"""All that is asked at once: files and a machine in, ranked advice and predictions out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import numpy as np

from deepseek_core import training
from deepseek_observe.advise.advice import Advice, Kind, ranked
from deepseek_observe.advise.collectives.model import LEAST_POINTS, Model, left_out_errors, of_table
from deepseek_observe.advise.collectives.table import Table
from deepseek_observe.advise.environment.lint import lint
from deepseek_observe.advise.environment.reading import Environment
from deepseek_observe.advise.environment.rule import Case
from deepseek_observe.advise.fat_tree import FatTree, advise_tree
from deepseek_observe.advise.joining import joined
from deepseek_observe.advise.pairing import advise_pairing
from deepseek_observe.advise.topology.record import Topology

_LEAST_FOR_ERROR = 4
_ODD = 1.3
_NCCL_TESTS = "nccl-tests, doc/PERFORMANCE.md"


def _row(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Prediction:
    """A log's law, and how far it is off a size that it has not seen (median; None if too few)."""

    table: Table
    model: Model
    error: float | None


@attrs.frozen(kw_only=True)
class Asked:
    """What there is to advise on; what is empty is not spoken of."""

    topologies: tuple[Topology, ...] = attrs.field(default=(), converter=_row)
    environment: Environment | None = None
    interfaces: tuple[str, ...] | None = None
    absent: frozenset[str] = frozenset()
    tables: tuple[Table, ...] = attrs.field(default=(), converter=_row)
    cluster: training.Cluster | None = None
    tree: FatTree | None = None


@attrs.frozen(kw_only=True)
class Report:
    """Advice in its order, and predictions in that of the logs."""

    advice: tuple[Advice, ...] = attrs.field(converter=_row)
    predictions: tuple[Prediction, ...] = attrs.field(converter=_row)


def advise(asked: Asked) -> Report:
    """Everything that the files say."""
    machine = joined(asked.topologies)
    found: list[Advice] = []
    if asked.environment is not None:
        found.extend(
            lint(
                Case(
                    env=asked.environment.values,
                    topology=machine,
                    interfaces=asked.interfaces,
                    twice=asked.environment.twice,
                    absent=asked.absent,
                )
            )
        )
    elif machine is not None:
        # What a machine wants set is told without an environment too.
        found.extend(one for one in lint(Case(env={}, topology=machine)) if one.kind is Kind.SET)
    for topology in asked.topologies:
        found.extend(advise_pairing(_with_processors(topology, machine)))
    if asked.tree is not None:
        found.extend(advise_tree(asked.tree, _adapter(machine, asked.cluster)))
    predictions = []
    for table in asked.tables:
        found.extend(_of_log(table))
        if len(table.points) < LEAST_POINTS:
            found.append(_few(table))
            continue
        predictions.append(_predict(table))
        found.extend(_odd(predictions[-1]))
    return Report(advice=ranked(found), predictions=predictions)


def _with_processors(topology: Topology, machine: Topology | None) -> Topology:
    return machine if machine is not None and machine.source == topology.source else topology


def _adapter(machine: Topology | None, cluster: training.Cluster | None) -> float | None:
    speeds = [nic.bits_per_s for nic in (machine.nics if machine else ()) if nic.bits_per_s]
    if speeds:
        return max(speeds)
    if cluster is not None:
        return max(group.between.bytes_per_s for group in cluster.groups) * 8
    return None


def _predict(table: Table) -> Prediction:
    many = len(table.points) >= _LEAST_FOR_ERROR
    return Prediction(
        table=table,
        model=of_table(table),
        error=float(np.median(left_out_errors(table))) if many else None,
    )


def _of_log(table: Table) -> list[Advice]:
    found = []
    if table.wrong:
        found.append(
            _warned(
                "results-wrong", f"{table.source}: {table.wrong} results were wrong",
                "a link, a GPU or a forced protocol corrupts data: run dcgmi diag -r 3, and unset "
                "NCCL_PROTO",
            )
        )  # fmt: skip
    if table.faults:
        found.append(
            _warned("log-faults", f"{table.source}: {table.faults[0]}",
                    "the run did not end as it should; figures before that line hold")
        )  # fmt: skip
    found.extend(
        _warned("log-note", f"{table.source}: {note}", "the figures are not of one run")
        for note in table.notes
    )
    return found


def _few(table: Table) -> Advice:
    return Advice(
        rule="sizes-few",
        kind=Kind.FACT,
        what=f"{table.source}: sizes of {table.collective or 'a collective'}: {len(table.points)}",
        why=f"a law takes {LEAST_POINTS} or more: all_reduce_perf -b 8 -e 4G -f 2",
        source=_NCCL_TESTS,
    )


def _odd(one: Prediction) -> list[Advice]:
    """Sizes that take much longer than the law, and than the sizes beside them."""
    sizes, ratios = one.model.sizes, one.model.ratios
    odd = [
        f"{sizes[place]:,.0f} bytes"
        for place in range(1, len(sizes) - 1)
        if ratios[place] > _ODD * max(ratios[place - 1], ratios[place + 1])
    ]
    if not odd:
        return []
    return [
        Advice(
            rule="size-slow",
            kind=Kind.FACT,
            what=f"{one.table.source}: slower than its neighbors at {', '.join(odd)}",
            why="NCCL may change its protocol there, or something else ran; measure again",
            source="the log, and the law fitted to it",
        )
    ]


def _warned(rule: str, what: str, why: str) -> Advice:
    return Advice(rule=rule, kind=Kind.WARNING, what=what, why=why, source=_NCCL_TESTS)


def facts_of(topologies: Sequence[Topology]) -> list[str]:
    """What each file has, in a line."""
    return [_fact(one) for one in topologies]


def _fact(one: Topology) -> str:
    parts = [
        f"{len(one.gpus)} GPUs" if one.gpus else "no GPU",
        f"{len(one.nics)} adapter{'s' * (len(one.nics) > 1)}" if one.nics else "no adapter",
    ]
    if one.nodes:
        seen = len({cpu for node in one.nodes for cpu in node.cpus})
        cpus = f", {seen} processors{'' if one.complete else ' near GPUs'}" if seen else ""
        parts.append(f"{len(one.nodes)} NUMA node{'s' * (len(one.nodes) > 1)}{cpus}")
    for kind, name in (("NV", "NVLink"), ("XGMI", "xGMI")):
        if one.lanes(kind):
            parts.append(f"{name} x{one.lanes(kind)}")
    note = "".join(f"; {note}" for note in one.notes)
    return f"{one.source}: {one.form}, {', '.join(parts)}{note}"
