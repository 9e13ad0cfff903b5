"""Kernels that wait for one another are not waited for without limit."""

import time
from types import SimpleNamespace

import pytest

from deepseek_core import errors
from deepseek_fpga import engine

pytest.importorskip("pyopencl")
RUNNING, FAILED, COMPLETE = 1, -5, 0


def waiting(*statuses):
    runner = object.__new__(engine.Runner)
    runner._device = SimpleNamespace(id="opencl:intel-fpga-emulator:0")
    runner._await([SimpleNamespace(command_execution_status=status) for status in statuses])


def test_kernels_that_starve_one_another_end_in_a_named_error(monkeypatch):
    """Intel's emulator with two threads for three kernels: it spun for ever."""
    monkeypatch.setattr(engine, "_CHANNELS_S", 0.2)
    start_s = time.monotonic()
    with pytest.raises(errors.DeviceTimeout, match=r"did not end in 0\.2 s") as caught:
        waiting(COMPLETE, RUNNING, RUNNING)
    assert 0.2 <= time.monotonic() - start_s < 10
    assert "threads" in caught.value.remedy


def test_a_kernel_that_fails_is_not_waited_for():
    with pytest.raises(errors.DeviceLost, match="OpenCL status -5"):
        waiting(COMPLETE, FAILED, RUNNING)


def test_kernels_that_are_through_are():
    waiting(COMPLETE, COMPLETE, COMPLETE)
