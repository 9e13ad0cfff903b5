"""Makes the helpers of these tests and the makers of the pages importable."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
BUILD_LIMIT_S = 300
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "sdk_docs" / "_made")]


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """Compiled kernels, and which devices there are, for all pages."""
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The pages as `make docs` builds them, once for all processes of a run of tests."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # that of the run
    site, built = folder / "site", folder / "site_is_built"
    with (folder / "site_lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            build(site)
            built.touch()
    return site


def build(site):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=HERE.parents[1], env=environment, capture_output=True, text=True, check=False,
        timeout=BUILD_LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
