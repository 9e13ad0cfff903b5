"""Monitors of the tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "deepseek_cuda"))  # `import machines`
sys.path.insert(0, str(Path(__file__).parent))

import monitors


@pytest.fixture
def runtime():
    """A folder of sockets that is not there yet."""
    with monitors.folder_of_sockets() as folder:
        yield folder


@pytest.fixture(scope="module")
def monitor():
    """A monitor of three simulated devices, sampled ten times a second."""
    with monitors.simulated(3) as client:
        yield client
