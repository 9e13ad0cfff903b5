"""Streams through an exported encoder: chunks of any size in, whole frames of tokens out.

Needs onnx and ONNX Runtime, or a session of the SDK; not torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deepseek_core import Session, errors
from deepseek_fusion.export.layout import (
    INPUT,
    MASK,
    TOKENS,
    TOKENS_MASK,
    StreamLayout,
    later,
    read_layout,
)
from deepseek_fusion.export.running import Run, of_plan, onnx_runtime

Array = np.ndarray[Any, Any]


class Frames(NamedTuple):
    """What a chunk gave: tokens (rows, frames, width), and which of them are there."""

    tokens: Array
    mask: Array


class Stream:
    """One or more streams side by side, with their state between chunks.

    `layout` says how the file streams; `rows` is how many streams there are; `_run` runs a
    chunk; `_state` is what the next chunk begins with; `_rest` and `_rest_mask` are the steps
    that do not make a frame yet.
    """

    def __init__(self, layout: StreamLayout, run: Run, *, rows: int = 1) -> None:
        if not layout.states:
            raise errors.InputError(
                f"{layout.encoder} has no state, so there is nothing to stream",
                remedy="run it on each input by itself: `ds-sdk run`, or Session.plan(...).run",
            )
        if not isinstance(rows, int) or rows < 1:
            raise errors.ConfigError(f"rows must be a whole number from 1 on, got {rows!r}")
        self.layout, self.rows = layout, rows
        self._run = run
        self.restart()

    def restart(self) -> None:
        """Begin again, as if nothing had come."""
        shape = (self.rows, 0, *self.layout.x.sizes()[2:])
        self._state = {spec.name: spec.begin(self.rows) for spec in self.layout.states}
        self._rest = np.zeros(shape, dtype=self.layout.x.dtype)
        self._rest_mask = np.zeros((self.rows, 0), dtype=bool)

    def push(self, chunk: Array, mask: Array | None = None) -> Frames:
        """Take the next steps (rows, steps, ...) of every stream, and give the whole frames.

        Steps that do not fill a frame wait for the next chunk. A run that fails leaves the
        stream as it was, so that the chunk can be given again.

        Raises:
            InputError: another shape or dtype, another number of rows, or NaN.
        """
        x, there = self._entered(chunk, mask)
        whole = x.shape[1] // self.layout.frame * self.layout.frame
        frames = self._frames(x[:, :whole], there[:, :whole])
        self._rest, self._rest_mask = x[:, whole:].copy(), there[:, whole:].copy()
        return frames

    def finish(self) -> Frames:
        """Give the frame of the steps that wait, the rest of it masked out; then begin again."""
        missing = -self._rest.shape[1] % self.layout.frame
        padding = np.zeros((self.rows, missing, *self._rest.shape[2:]), self._rest.dtype)
        frames = self.push(padding, np.zeros((self.rows, missing), dtype=bool))
        self.restart()
        return frames

    def _entered(self, chunk: Array, mask: Array | None) -> tuple[Array, Array]:
        chunk = np.asarray(chunk)
        self.layout.x.check(chunk)
        mask = np.ones(chunk.shape[:2], dtype=bool) if mask is None else np.asarray(mask)
        if chunk.shape[0] != self.rows or mask.shape != chunk.shape[:2] or mask.dtype != bool:
            raise errors.TensorMismatch(
                f"a chunk is of {self.rows} streams with a bool mask of rows and steps, got "
                f"{list(chunk.shape)} and {mask.dtype} {list(mask.shape)}",
                remedy="open one stream for each set of rows that begin together",
            )
        there = mask.reshape(*mask.shape, *[1] * (chunk.ndim - 2))
        clean = np.where(there, chunk, np.zeros((), chunk.dtype))
        if not np.isfinite(clean).all():
            raise errors.InputError(
                "NaN or infinity in a chunk of a stream; all that follows would be lost with it",
                remedy="repair the samples, or mask them out",
            )
        self._check_range(clean)
        return np.concatenate([self._rest, clean], 1), np.concatenate([self._rest_mask, mask], 1)

    def _check_range(self, ids: Array) -> None:
        limit = self.layout.vocabulary
        if limit and ids.size and not 0 <= ids.min() <= ids.max() < limit:
            raise errors.InputError(
                f"ids go from {ids.min()} to {ids.max()}, the vocabulary from 0 to {limit - 1}",
                remedy="use the vocabulary that the encoder was made for, or mask these out",
            )

    def _frames(self, x: Array, mask: Array) -> Frames:
        if not x.shape[1]:
            shape = (self.rows, 0, self.layout.width)
            return Frames(np.zeros(shape, np.float32), np.zeros(shape[:2], dtype=bool))
        feeds = {INPUT: np.ascontiguousarray(x), MASK: np.ascontiguousarray(mask)}
        outputs = self._run(feeds | self._state)
        self._state = {name: outputs[later(name)] for name in self._state}
        return Frames(outputs[TOKENS], outputs[TOKENS_MASK])


def open_stream(path: str | Path, *, rows: int = 1, session: Session | None = None) -> Stream:
    """Open streams through a file that `export_encoder` wrote.

    With a session, its plan for real time decides where chunks run; else ONNX Runtime does
    on one thread of the CPU.

    Raises:
        ArtifactError: no such file, or one that does not say how it streams.
        InputError: the file has no state.
    """
    layout = read_layout(path)
    if session is None:
        return Stream(layout, onnx_runtime(path), rows=rows)
    plan = session.plan(session.load(path), latency="realtime", batch=rows)
    return Stream(layout, of_plan(plan), rows=rows)
