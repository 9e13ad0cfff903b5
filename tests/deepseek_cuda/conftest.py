"""The fake library and the fake builds, each made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `import machines`

import fake_gpu
import machines
import real_gpu


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A folder with a fake libnvidia-ml.so.1."""
    return machines.make_library(tmp_path_factory.mktemp("nvml") / "lib")


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A path on which `onnxruntime` has a CUDA provider that loads."""
    return machines.make_build(tmp_path_factory.mktemp("ort"))


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.cuda)])
def gpu(request, tmp_path):
    """An open GPU: on the fake driver, and, with `-m cuda`, the first real one that can be used."""
    if request.param == "fake":
        device = fake_gpu.make_device(tmp_path, traced=True, openers=fake_gpu.programs())
    else:
        device = real_gpu.opened(tmp_path)
    yield device
    device.close()
