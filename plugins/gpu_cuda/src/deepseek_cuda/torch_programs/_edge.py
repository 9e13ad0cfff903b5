"""torch on a GPU: its streams and tensors for ours, one call a line.

Imported only where a program is opened.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

from deepseek_cuda.driver.tensors import DeviceTensor


class CudaTorch:
    """`TorchPlace` on the GPU of this number in this process."""

    def __init__(self, ordinal: int) -> None:
        self.device = torch.device("cuda", ordinal)

    def on(self, stream: int) -> AbstractContextManager[Any]:
        """Whatever torch launches inside goes on our stream."""
        made: AbstractContextManager[Any] = torch.cuda.stream(
            torch.cuda.ExternalStream(stream, device=self.device)
        )
        return made

    def view(self, tensor: DeviceTensor) -> torch.Tensor:
        """A tensor of torch over our memory."""
        return torch.as_tensor(_Memory(tensor), device=self.device)


class _Memory:
    """Memory of a GPU as CUDA's array interface describes it (version 3)."""

    def __init__(self, tensor: DeviceTensor) -> None:
        self.__cuda_array_interface__ = {
            "shape": tensor.shape,
            "typestr": tensor.dtype.str,
            "data": (tensor.address if tensor.nbytes else 0, False),
            "strides": None,
            "version": 3,
        }
