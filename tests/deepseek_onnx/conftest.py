"""The CPU device, opened and closed around a test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from deepseek_core import OpenOptions
from deepseek_onnx.device import DEVICE_ID, OnnxCpu, open_device

# Tests import the models beside them by name.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def open_cpu(tmp_path: Path) -> Iterator[Callable[[int], OnnxCpu]]:
    opened: list[OnnxCpu] = []

    def open_with(threads: int) -> OnnxCpu:
        opened.append(open_device(DEVICE_ID, OpenOptions(threads=threads, cache_dir=tmp_path)))
        return opened[-1]

    yield open_with
    for device in opened:
        device.close()


@pytest.fixture
def cpu(open_cpu: Callable[[int], OnnxCpu]) -> OnnxCpu:
    return open_cpu(2)
