"""torch on the host, in the memory that the fake driver takes for a device's."""

import ctypes
from contextlib import nullcontext

import numpy as np
import torch


class HostTorch:
    """`TorchPlace` of the tests: the real programs, computed where the fake has its memory."""

    def __init__(self, ordinal):
        self.device = torch.device("cpu")

    def on(self, stream):
        return nullcontext()

    def view(self, tensor):
        if not tensor.nbytes:
            return torch.from_numpy(np.empty(tensor.shape, tensor.dtype))
        memory = (ctypes.c_ubyte * tensor.nbytes).from_address(tensor.address)
        return torch.from_numpy(np.frombuffer(memory, tensor.dtype).reshape(tensor.shape))
