"""Tensors in a device's memory, and what makes them."""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors

Array = NDArray[Any]


@attrs.frozen(eq=False)
class DeviceTensor:
    """A C-ordered tensor in the device's memory."""

    address: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Bytes of its elements."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@attrs.frozen(eq=False)
class Launched:
    """What a launch will have made, once the stream gets there; `keep` holds its memory."""

    outputs: Mapping[str, DeviceTensor]
    keep: object


class Engine(Protocol):
    """Puts the computation of a stage on the stream that it was opened for.

    `is_built`: the first run of a shape builds something, which may take minutes.
    """

    is_built: bool

    def placed(self, constants: Mapping[str, Array]) -> Mapping[str, Array]:
        """The stage's constants as they are to lie on the device."""

    def launch(self, inputs: Mapping[str, DeviceTensor]) -> Launched:
        """Enqueue one run; returns before it is done.

        Raises:
            DeviceError: what went wrong.
        """

    def release(self) -> None:
        """Free what is only kept for the next run; nothing of it may be on its way."""

    def close(self) -> None:
        """Free it; nothing of it may be on its way."""


class Kept:
    """An output that stays where it was made, for later runs; nothing writes to it.

    Its memory is the launch's that made it. Who drops it may be any thread: the launch then waits
    in `dropped` for the next who has the device. `owner` is the pipeline that can fetch it.
    """

    def __init__(
        self, tensor: DeviceTensor, launched: Launched, dropped: deque[Launched], owner: Any
    ) -> None:
        self.dtype, self.shape, self.nbytes = tensor.dtype, tensor.shape, tensor.nbytes
        self.owner = owner
        self._tensor: DeviceTensor | None = tensor
        self._release = weakref.finalize(self, dropped.append, launched)
        self._release.atexit = False

    def tensor(self, device_id: str) -> DeviceTensor:
        """Where it lies.

        Raises:
            DeviceClosed: the stage that made it was closed.
        """
        if self._tensor is None:
            raise errors.DeviceClosed(
                f"a tensor on {device_id} went with the stage that made it",
                device_id=device_id,
                remedy="run that stage again",
            )
        return self._tensor

    def drop(self) -> None:
        """Give its memory back now; the caller has the device."""
        self._tensor = None
        self._release.detach()
