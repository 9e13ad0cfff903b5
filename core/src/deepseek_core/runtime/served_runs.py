"""Runs of a server: what callers gave as one batch, and the part of the answer for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deepseek_core.contracts.errors import InputError, OutOfMemory, TensorMismatch
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.tensor import TensorSpec, shape_text
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.schedule.online.records import Part


class ServedRun:
    """Calls of a loaded stage for several callers; `samples` has each call's items and seconds."""

    def __init__(self, executable: Loaded, *, divisible: bool) -> None:
        self._executable, self._divisible = executable, divisible
        self.samples: list[tuple[int, float]] = []

    def outputs(
        self, pieces: Sequence[Mapping[str, Array]], parts: Sequence[Part]
    ) -> list[Mapping[str, Array] | InputError]:
        """The outputs of each piece; those that fit together go through the device together.

        Where the device refuses what several callers gave, or has no memory for it, each is run
        alone; only those that it refuses get the error.

        Raises:
            InputError: a single piece was refused.
            Exception: the device failed.
        """
        stage = self._executable.stage
        found = dict[int, Mapping[str, Array] | InputError]()
        for group in alike(stage, pieces):
            mine = [parts[i] for i in group]
            try:
                made = self._made(joined(stage.inputs, [pieces[i] for i in group]), mine)
            except (InputError, OutOfMemory):
                if len(pieces) == 1:
                    raise
                found.update({i: self._alone(pieces[i], parts[i]) for i in group})
            else:
                found.update(zip(group, parted(stage.outputs, made, mine), strict=True))
        return [found[i] for i in range(len(pieces))]

    def _alone(self, piece: Mapping[str, Array], part: Part) -> Mapping[str, Array] | InputError:
        try:
            return self._made(piece, [part])
        except InputError as error:
            return error

    def _made(self, fed: Mapping[str, Array], parts: Sequence[Part]) -> Mapping[str, Array]:
        made, _, start_s, end_s = self._executable.run(fed)
        if self._divisible:
            check_items(self._executable.stage, fed, made)
            self.samples.append((sum(part.items for part in parts), end_s - start_s))
        return made


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
        found.append({s.name: cut(outputs[s.name], s, start, stop) for s in specs})
        start = stop
    return found


def cut(value: Array, spec: TensorSpec, start: int, stop: int) -> Array:
    """The items from `start` to `stop` of a tensor; all of one without a batch axis."""
    axis = spec.batch_axis
    if axis is None:
        return value
    if start == 0 and stop == value.shape[axis]:
        return value
    return value[(slice(None),) * axis + (slice(start, stop),)]
