"""Makes the helpers of these tests and the makers of the pages importable."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "sdk_docs" / "_made")]


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """Compiled kernels that the pages share."""
    return tmp_path_factory.mktemp("kernels")
