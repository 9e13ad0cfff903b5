"""Requests on their way through a served graph: slices of batches in, whole batches out."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import Any

import numpy as np

from deepseek_core.contracts.errors import (
    AdmissionRefused,
    ConfigError,
    DeepSeekError,
    InputError,
    TensorMismatch,
)
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.contracts.tensor import TensorSpec, shape_text
from deepseek_core.contracts.units import as_duration
from deepseek_core.runtime.result import Result, pick
from deepseek_core.schedule.online.records import Part, Reject


class ServedRequest:
    """What one caller wants: its tensors so far, and how many stages each stage waits for.

    `deadline_s` is given from `start_s` on, and kept as a point of its clock.
    """

    def __init__(
        self,
        graph: Graph,
        inputs: Mapping[str, Any],
        *,
        latency: LatencyClass | str,
        start_s: float,
        deadline_s: float | None,
    ) -> None:
        if latency not in list(LatencyClass):
            raise ConfigError(f"no LatencyClass {latency!r}", remedy="use realtime or offline")
        if deadline_s is not None:
            deadline_s = as_duration("deadline_s", deadline_s)
            if latency == LatencyClass.OFFLINE:
                raise ConfigError(
                    "offline work fills gaps and has no deadline",
                    remedy='ask with latency="realtime", or leave deadline_s out',
                )
        self.tensors = graph.admit(inputs)
        items = graph.items(self.tensors)
        self.batch = 1 if items is None else items
        # Items that may be cut apart and joined with those of others; else it is one call.
        self.divisible = self.batch > 0 and items is not None
        self.latency, self.start_s = LatencyClass(latency), start_s
        self.deadline_s = math.inf if deadline_s is None else start_s + deadline_s
        self.waits = {s.name: len(graph.predecessors(s)) for s in graph.stages}
        self.left = len(graph.stages)
        self.ran_on: dict[str, str] = {}
        self.future: Future[Result] = Future()
        self.future.set_running_or_notify_cancel()  # it has begun: canceling is too late

    def result(self, graph: Graph, now_s: float) -> Result:
        """The answer, once no stage is left."""
        return Result(
            outputs=pick(graph, self.tensors),
            ran_on=self.ran_on,
            seconds=now_s - self.start_s,
            batch=self.batch,
        )


class StageTask:
    """A stage of a request; its outputs arrive in pieces."""

    def __init__(self, request: ServedRequest, stage: Stage) -> None:
        self.request, self.stage = request, stage
        self._pieces: dict[int, Mapping[str, Array]] = {}
        self.divisible = request.divisible and stage.divisible
        self.error: BaseException | None = None
        self.rejected: InputError | None = None

    def piece(self, part: Part) -> dict[str, Array]:
        """The inputs of a part."""
        given = self.request.tensors
        mine = [spec for spec in self.stage.inputs if spec.name in given]
        if not self.divisible:
            return {spec.name: given[spec.name] for spec in mine}
        stop = part.first + part.items
        return {spec.name: _cut(given[spec.name], spec, part.first, stop) for spec in mine}

    def put(
        self, part: Part, outputs: Mapping[str, Array], device_id: str, names: Sequence[str]
    ) -> None:
        """Take the outputs of a part; `names` are the user's stages that it stands for."""
        self._pieces[part.first] = outputs
        self.request.ran_on.update(dict.fromkeys(names, device_id))

    def reject(self, error: InputError) -> None:
        """Note that a part of it was refused, while those that ran with it were not."""
        self.rejected = error

    def finish(self) -> None:
        """Put the whole outputs among the request's tensors."""
        pieces = [self._pieces[first] for first in sorted(self._pieces)]
        self.request.tensors.update(joined(self.stage.outputs, pieces))


def alike(stage: Stage, pieces: Sequence[Mapping[str, Array]]) -> list[list[int]]:
    """Positions of pieces that one run may take together: equal but for their number of items."""
    groups: dict[object, list[int]] = {}
    for position, piece in enumerate(pieces):
        key = tuple(_kind(piece[s.name], s) for s in stage.inputs if s.name in piece)
        groups.setdefault(key, []).append(position)
    return list(groups.values())


def _kind(value: Array, spec: TensorSpec) -> object:
    """Dtype and shape without the batch axis."""
    axis = spec.batch_axis
    if axis is None:
        return None
    strings = value.dtype.kind in "OUT"  # texts of any length are joined
    return "string" if strings else value.dtype, value.shape[:axis] + value.shape[axis + 1 :]


def joined(specs: Sequence[TensorSpec], pieces: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
    """Tensors of several parts as one batch."""
    if len(pieces) == 1:
        return {spec.name: pieces[0][spec.name] for spec in specs if spec.name in pieces[0]}
    return {
        spec.name: np.concatenate([p[spec.name] for p in pieces], axis=spec.batch_axis or 0)
        for spec in specs
        if spec.name in pieces[0]
    }


def check_items(stage: Stage, fed: Mapping[str, Array], made: Mapping[str, Array]) -> None:
    """Check that a run gave as many items as it got: what is cut out of it is somebody's answer.

    Raises:
        TensorMismatch: it did not.
    """
    given = {fed[s.name].shape[s.batch_axis] for s in stage.inputs if s.batch_axis is not None}
    for spec in stage.outputs:
        shape, axis = made[spec.name].shape, spec.batch_axis or 0
        if len(shape) <= axis or {shape[axis]} != given:
            raise TensorMismatch(
                f"output {spec} of stage {stage.name!r} came as {shape_text(shape)} for "
                f"{' or '.join(map(str, given))} items along axis {axis}",
                remedy="declare its batch axis, or none (batch_axis=False)",
            )


def parted(
    specs: Sequence[TensorSpec], outputs: Mapping[str, Array], parts: Sequence[Part]
) -> list[Mapping[str, Array]]:
    """A run's outputs, part by part."""
    if len(parts) == 1:
        return [outputs]
    found: list[Mapping[str, Array]] = []
    start = 0
    for part in parts:
        stop = start + part.items
        found.append({s.name: _cut(outputs[s.name], s, start, stop) for s in specs})
        start = stop
    return found


def _cut(value: Array, spec: TensorSpec, start: int, stop: int) -> Array:
    axis = spec.batch_axis
    if axis is None:
        return value
    if start == 0 and stop == value.shape[axis]:
        return value
    return value[(slice(None),) * axis + (slice(start, stop),)]


def answer(future: Future[Result], result: Result) -> None:
    """Let the caller see a result, unless something was there before."""
    with contextlib.suppress(InvalidStateError):
        future.set_result(result)


def fail(future: Future[Result], error: DeepSeekError) -> None:
    """Let the caller see an error, unless something was there before."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(error)


def refusal(refused: Reject) -> AdmissionRefused:
    """The scheduler's refusal as the error that the caller sees."""
    return AdmissionRefused(
        f"refused: {refused.reason}",
        retry_after_s=refused.retry_after_s,
        remedy=_advice(refused.retry_after_s),
    )


def _advice(retry_after_s: float | None) -> str:
    if retry_after_s is None:
        return "give a later deadline or a smaller batch"
    return f"try again in {retry_after_s * 1e3:.0f} ms, or give a later deadline"
