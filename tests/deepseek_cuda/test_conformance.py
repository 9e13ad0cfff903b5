"""Every promise of a device: on a GPU where there is one, and on the fake driver everywhere."""

import fake_gpu
import pytest
from fake_cuda import FakeCuda

from deepseek_core import errors
from deepseek_cuda.conformance import TestCuda


class TestOnFake(TestCuda):
    """The same device, with a driver that accuses whoever misuses it."""

    @pytest.fixture
    def rows(self):
        return [fake_gpu.info()]

    def _open(self, spec, info, folder):
        if info.id != "cuda:0":
            raise errors.DeviceUnavailable("no such GPU", device_id=info.id)
        return fake_gpu.make_device(folder, FakeCuda())


__all__ = ["TestCuda"]
