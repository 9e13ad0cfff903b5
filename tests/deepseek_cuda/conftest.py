"""The fake library and the fake builds, each made once."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `import machines`

import machines


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """A folder with a fake libnvidia-ml.so.1."""
    return machines.make_library(tmp_path_factory.mktemp("nvml") / "lib")


@pytest.fixture(scope="session")
def build(tmp_path_factory):
    """A path on which `onnxruntime` has a CUDA provider that loads."""
    return machines.make_build(tmp_path_factory.mktemp("ort"))
