"""The idioms are imported by name; one thread, so that results repeat."""

import sys
from pathlib import Path

import process
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)
    with process.one_thread():
        yield
