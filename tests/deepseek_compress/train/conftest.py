"""Models and data of these tests are imported by name; one thread, so that results repeat."""

import sys
from pathlib import Path

import process
import pytest

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(autouse=True)
def on_one_thread():
    with process.one_thread():
        yield
