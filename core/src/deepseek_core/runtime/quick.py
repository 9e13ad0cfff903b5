"""The short way of a plan of one stage: the device's own call, a clock and a result."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array
from deepseek_core.discovery.strangers import raise_if_ours
from deepseek_core.runtime.interrupts import stop_if_interrupted
from deepseek_core.runtime.result import Result
from deepseek_core.runtime.runner import StageRunner

Quick = Callable[[Any, int], Result | None]
"""Runs the batch of this number; None if it can't be done this way (any more)."""


def quick_run(runner: StageRunner, graph: Graph) -> Quick | None:
    """The short way of a plan as it is placed now; None where it has none.

    There is one where one stage does all of the graph, on a device that checks inputs itself.
    """
    route = runner.routes[0]
    if len(runner.routes) > 1 or len(route.graph.stages) > 1 or graph.handed_through:
        return None
    (stage,) = route.graph.stages
    device_id = route.devices[stage.name]
    try:
        executable = runner.executable(stage, device_id)
    except BaseException as error:  # noqa: BLE001 - the long way raises it again, or moves on
        raise_if_ours(error)
        stop_if_interrupted(error)
        return None
    if not executable.checks_inputs:
        return None
    call, note, clock = executable.run, runner.recorder.note, time.perf_counter
    ran_on, pid, process = route.ran_on(), os.getpid(), os.getpid
    wanted, batch_of = _selection(graph, stage.outputs), _batch_counter(graph)
    decision, name = route.decision, stage.name

    def run(inputs: Any, sequence: int) -> Result | None:
        if runner.decision != decision or process() != pid:
            return None
        start_s = clock()
        try:
            outputs, slot, begin_s, end_s = call(inputs)
        except InputError:
            raise
        except BaseException as error:  # noqa: BLE001 - a driver may raise anything
            raise_if_ours(error)
            stop_if_interrupted(error)
            runner.check_open()
            runner.recover(route, stage, error)
            return None
        if wanted is not None:
            outputs = {name: outputs[name] for name in wanted}
        batch = batch_of(outputs)
        note((name, device_id, slot, sequence, batch, begin_s, end_s))
        return Result(
            outputs=outputs,
            ran_on=ran_on.copy(),
            seconds=end_s - start_s,
            batch=batch,
            sequence=sequence,
        )

    return run


def _selection(graph: Graph, made: Any) -> tuple[str, ...] | None:
    """The outputs to pick in their order; None where the stage gives just these."""
    return None if graph.outputs == tuple(spec.name for spec in made) else graph.outputs


def _batch_counter(graph: Graph) -> Callable[[Mapping[str, Array]], int]:
    if not graph.is_batched:
        return lambda _outputs: 1
    first = graph.output_specs[0]
    name, axis = first.name, first.batch_axis or 0
    return lambda outputs: int(outputs[name].shape[axis])
