"""A tensor in the object store of a node."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors, places
from deepseek_ray.pulse import Pulse


class RefTensor(places.RemoteTensor):
    """A tensor that a run left there; `pulse` is that of the actor that made it."""

    def __init__(self, ref: Any, dtype: np.dtype[Any], shape: tuple[int, ...], pulse: Pulse):
        self.ref, self.dtype, self.shape, self.pulse = ref, dtype, shape, pulse

    def to_host(self) -> NDArray[Any]:
        """A copy: what lies in the object store is read-only, and has no space left to stay."""
        try:
            array: NDArray[Any] = self.pulse.result(self.ref)
        except errors.TensorLost:
            raise
        except errors.DeviceLost as error:
            raise errors.TensorLost(error.message, device_id=error.device_id) from error
        return array if array.flags.writeable else array.copy()
