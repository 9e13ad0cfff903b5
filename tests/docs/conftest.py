"""Makes the helpers of these tests and the makers of the pages importable."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "sdk_docs" / "_made")]


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Compiled kernels, and which devices there are, for all pages."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The pages as `make docs` builds them."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder
