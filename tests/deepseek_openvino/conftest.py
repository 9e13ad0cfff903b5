"""OpenVINO's provider for the tests here, on processors of any make; skipped where it is not."""

import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import any_cpu

from deepseek_core import OpenOptions


def pytest_collection_modifyitems(items):
    """Without the plugin or its provider there is nothing to test here."""
    missing = _missing()
    for item in items:
        if missing and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=missing))


def _missing():
    try:
        distribution("deepseek-openvino")
        distribution("onnxruntime-ep-openvino")
    except PackageNotFoundError as error:
        return f"{error.name} is not installed: make providers"
    return None


@pytest.fixture(scope="session", autouse=True)
def provider_library(tmp_path_factory):
    """The provider as this machine can run it, here and in processes that are started."""
    if not any_cpu.is_needed() or _missing():
        yield
        return
    try:
        folder = str(any_cpu.make(tmp_path_factory.mktemp("any_cpu")))
    except any_cpu.NotHere as reason:
        pytest.skip(str(reason))
    before = os.environ.get("PYTHONPATH", "")
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (folder, before)))
    yield
    sys.path.remove(folder)
    os.environ["PYTHONPATH"] = before


@pytest.fixture
def openvino(tmp_path):
    """The open device."""
    from deepseek_openvino.hooks import open_device

    device = open_device("openvino:cpu", OpenOptions(threads=2, cache_dir=tmp_path))
    yield device
    device.close()
