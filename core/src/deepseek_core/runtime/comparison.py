"""Several plans of one graph, measured side by side."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from statistics import median
from typing import Final

import attrs

from deepseek_core.contracts.errors import NoDevice, StageFailed, TensorMismatch
from deepseek_core.contracts.stage import Array
from deepseek_core.runtime.calibration import Progress
from deepseek_core.runtime.plan import Plan
from deepseek_core.schedule.problem import Problem

_MOST_PLACEMENTS: Final = 16
_CHOSEN: Final = "chosen"


@attrs.frozen(kw_only=True)
class Row:
    """Items per second of one plan: the median of the rounds, and each round."""

    label: str
    placement: Mapping[str, str]
    predicted_s: float
    items_per_s: float
    rounds: tuple[float, ...]


@attrs.frozen(kw_only=True)
class Comparison:
    """The chosen plan (first row) beside every other placement, in measured items per second.

    `refusals` says of each device that can't run the whole graph alone why not, `failures` of each
    placement that failed.
    """

    rows: tuple[Row, ...]
    refusals: Mapping[str, str]
    failures: Mapping[str, str] = attrs.field(factory=dict)

    @property
    def chosen(self) -> Row:
        """The row of the plan that the scheduler chose."""
        return self.rows[0]

    def alone(self) -> dict[str, Row]:
        """Device id -> the row of everything on that one device."""
        return {device: row for row in self.rows for device in _only(set(row.placement.values()))}


def _only(devices: set[str]) -> set[str]:
    return devices if len(devices) == 1 else set()


def placements(problem: Problem) -> list[dict[str, str]]:
    """Every assignment of stages to devices that can run them, at most 16."""
    able = [[c.device_id for c in stage.allowed()] for stage in problem.stages]
    names = [stage.name for stage in problem.stages]
    every = itertools.islice(itertools.product(*able), _MOST_PLACEMENTS)
    return [dict(zip(names, devices, strict=True)) for devices in every]


def single_device_refusals(problem: Problem) -> dict[str, str]:
    """Device id -> why it can't run the whole graph alone."""
    return {
        c.device_id: f"{stage.name}: {c.refusal}"
        for stage in reversed(problem.stages)
        for c in stage.candidates
        if c.estimate is None
    }


def against_others(
    chosen: Plan,
    pinned: Callable[[Mapping[str, str]], Plan],
    batches: Sequence[Mapping[str, Array]],
    *,
    rounds: int,
    progress: Progress,
) -> Comparison:
    """A plan beside all others of its graph, which `pinned` makes.

    Raises:
        StageFailed: a stage of the plan failed while it was measured.
        TensorMismatch: batches that do not fit, or none.
    """
    _check(chosen, batches)
    race = _Race(batches)
    with ExitStack() as stack:
        race.enter(_CHOSEN, lambda: chosen)
        for pins in placements(chosen.problem):
            if len(chosen.placement.routes) > 1 or pins != dict(chosen.devices):
                label = " + ".join(f"{stage} on {device}" for stage, device in pins.items())
                race.enter(label, partial(_opened, stack, pinned, pins))
        race.run(rounds, progress)
        return Comparison(
            rows=race.rows(),
            refusals=single_device_refusals(chosen.problem),
            failures=race.failures,
        )


def _opened(
    stack: ExitStack, pinned: Callable[[Mapping[str, str]], Plan], pins: Mapping[str, str]
) -> Plan:
    return stack.enter_context(pinned(pins))


def _check(chosen: Plan, batches: Sequence[Mapping[str, Array]]) -> None:
    if isinstance(batches, Mapping) or not isinstance(batches, Sequence) or not batches:
        raise TensorMismatch(
            f"compare takes a list of batches; given {type(batches).__name__}",
            remedy="pass one batch or more: [{name: array}, ...]",
        )
    if not any(chosen.graph.check_inputs(batch) for batch in batches):
        raise TensorMismatch("the batches hold no items", remedy="pass one or more")


class _Race:
    """Plans that stream the same batches, in turn; one that fails leaves, but for the chosen."""

    def __init__(self, batches: Sequence[Mapping[str, Array]]) -> None:
        self._batches = batches
        self._plans: dict[str, Plan] = {}
        self._rates: dict[str, list[float]] = {}
        self.failures: dict[str, str] = {}

    def enter(self, label: str, make: Callable[[], Plan]) -> None:
        """Make a plan and run it once."""
        with self._or_out(label):
            plan = make()
            plan.warmup()
            _items_per_s(plan, self._batches[:1])
            self._plans[label], self._rates[label] = plan, []

    @contextmanager
    def _or_out(self, label: str) -> Iterator[None]:
        try:
            yield
        except (StageFailed, NoDevice) as error:
            if label == _CHOSEN:
                raise
            self.failures[label] = error.message
            self._plans.pop(label, None)

    def run(self, rounds: int, progress: Progress) -> None:
        """Measure each plan once a round."""
        steps = rounds * len(self._plans)
        for turn in range(rounds):
            for index, (label, plan) in enumerate(list(self._plans.items())):
                progress(turn * steps // rounds + index, steps, f"measuring {label}")
                with self._or_out(label):
                    self._rates[label].append(_items_per_s(plan, self._batches))
        progress(steps, steps, "done")

    def rows(self) -> tuple[Row, ...]:
        """What was measured of those that are left."""
        return tuple(
            Row(
                label=label,
                placement=dict(plan.devices),
                predicted_s=plan.placement.value_s,
                items_per_s=median(self._rates[label]),
                rounds=tuple(self._rates[label]),
            )
            for label, plan in self._plans.items()
        )


def _items_per_s(plan: Plan, batches: Sequence[Mapping[str, Array]]) -> float:
    start_s = time.perf_counter()
    items = sum(result.batch for result in plan.stream(batches))
    return items / (time.perf_counter() - start_s)
