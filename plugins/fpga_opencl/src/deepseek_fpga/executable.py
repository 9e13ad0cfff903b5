"""A stage of matching operations, loaded on an OpenCL device."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from deepseek_core import Executable, Operation, Stage, errors
from deepseek_fpga.matcher import Matcher
from deepseek_fpga.variants import MAX_K

Array = NDArray[Any]


class MakeMatcher(Protocol):
    """Makes the matcher of a gallery; device, metric and kernel are settled."""

    def __call__(self, gallery: Array, *, k: int) -> Matcher:
        """A matcher of `k` neighbors among the rows of `gallery` [N, D]."""


class MatchExecutable(Executable):
    """Runs the operations in order; safe to call from several threads, which take turns."""

    def __init__(self, stage: Stage, makers: Sequence[MakeMatcher], device_id: str) -> None:
        self.stage, self.device_id = stage, device_id
        self._steps = [
            _Step(operation, make, device_id, stage.constants)
            for operation, make in zip(stage.operations, makers, strict=True)
        ]
        self._wanted = [spec.name for spec in stage.outputs]
        self._closed = False

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """Indices int64 [B, k] and distances [B, k] of each operation."""
        if self._closed:
            raise errors.DeviceClosed(
                f"stage {self.stage.name!r} on {self.device_id} is closed",
                device_id=self.device_id,
            )
        tensors: dict[str, Array] = {**self.stage.constants, **inputs}
        for step in self._steps:
            tensors.update(step.run(tensors))
        return {name: tensors[name] for name in self._wanted}

    def warmup(self, batch: int) -> None:
        """Compile and launch once; PoCL specializes a kernel at its first launch."""
        for step in self._steps:
            step.warmup(batch)

    def close(self) -> None:
        """Free the device's memory; idempotent."""
        self._closed = True
        for step in self._steps:
            step.close()


class _Step:
    """One operation; its matcher is kept as long as gallery and k stay the same."""

    def __init__(
        self,
        operation: Operation,
        make: MakeMatcher,
        device_id: str,
        constants: Mapping[str, Array],
    ) -> None:
        # `_query`: names of its inputs
        self._query, self._gallery, self._k = (spec.name for spec in operation.inputs)
        self._outputs = [spec.name for spec in operation.outputs]
        self._make, self._device_id = make, device_id
        self._lock = threading.Lock()
        self._matcher: Matcher | None = None
        self._kept: tuple[Array, int] | None = None  # gallery and k of the present matcher
        # gallery and k are constants: there is one matcher
        self._fixed = self._gallery in constants and self._k in constants
        if self._fixed:
            self._matcher_for(constants)

    def run(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        if not self._fixed:
            with self._lock:
                return self._named(self._matcher_for(tensors).query(tensors[self._query]))
        assert self._matcher is not None
        return self._named(self._matcher.query(tensors[self._query]))

    def _named(self, found: tuple[Array, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, found, strict=True))

    def _matcher_for(self, tensors: Mapping[str, Array]) -> Matcher:
        """The matcher for this gallery and k; packed again when either changed."""
        gallery, k = tensors[self._gallery], _read_k(tensors[self._k], self._device_id)
        if self._matcher is not None and self._is_kept(gallery, k):
            return self._matcher
        self.close()
        self._matcher = self._kept = None  # should the next one not fit, this one is gone
        self._matcher = self._make(gallery, k=k)
        self._kept = None if self._fixed else (gallery.copy(), k)
        return self._matcher

    def _is_kept(self, gallery: Array, k: int) -> bool:
        if self._kept is None:
            return self._fixed
        kept, kept_k = self._kept
        return kept_k == k and np.array_equal(kept, gallery)

    def warmup(self, batch: int) -> None:
        if self._matcher is not None:
            self._matcher.warmup(batch)

    def close(self) -> None:
        if self._matcher is not None:
            self._matcher.close()


def _read_k(k: Array, device_id: str) -> int:
    """The number of neighbors from its tensor [1]."""
    if k.size != 1:
        raise errors.TensorMismatch(f"k: expected one element, given {list(k.shape)}")
    value = int(k.reshape(-1)[0])
    if value > MAX_K:
        raise errors.Unsupported(
            f"{device_id} finds at most {MAX_K} neighbors, asked for {value}", device_id=device_id
        )
    return value
