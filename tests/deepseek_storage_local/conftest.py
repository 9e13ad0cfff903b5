"""Local tiers that are closed, and disks that really fill, vanish or refuse writes."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from deepseek_storage_local.tier import open_tier


@pytest.fixture
def open_local(tmp_path):
    """Opens a folder of the test, `tier` unless told otherwise."""
    opened = []

    def open_at(folder=None, **options):
        url = (folder or tmp_path / "tier").as_uri()
        query = "&".join(f"{name}={value}" for name, value in options.items())
        opened.append(open_tier(f"{url}?{query}" if query else url))
        return opened[-1]

    yield open_at
    for tier in opened:
        tier.close()


@pytest.fixture(scope="session")
def with_mounts():
    """Runs Python text where it may mount file systems: in a mount namespace of its own.

    What it prints last is JSON; `mount(path, nbytes)` and `unmount(path)` are there.
    """
    unshare = shutil.which("unshare")
    command = [unshare or "", *([] if os.geteuid() == 0 else ["-Ur"]), "-m"]
    works = (
        unshare
        and not subprocess.run(
            [*command, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False
        ).returncode
    )
    if not works:
        pytest.skip("this system lets us mount nothing (unshare -m)")

    def run(text, folder):
        run = subprocess.run(
            [*command, sys.executable, "-P", "-c", _MOUNTS + text, str(folder)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            timeout=60,
            check=False,
        )
        assert run.returncode == 0, run.stderr
        return json.loads(run.stdout.splitlines()[-1])

    return run


_MOUNTS = """
import json, os, subprocess, sys
from pathlib import Path
from deepseek_core import errors
from deepseek_storage_local.tier import open_tier

def mount(path, nbytes, more=""):
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={nbytes}{more}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)], check=True)

def unmount(path):
    subprocess.run(["umount", str(path)], check=True)

def failure(use):
    try:
        use()
    except errors.DeepSeekError as error:
        return [type(error).__name__, str(error)]
    return None

def files(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and ".ds" not in p.parts)

def aside(folder):
    return os.listdir(folder / ".ds" / "aside")

root = Path(sys.argv[1])
"""


@pytest.fixture
def in_child():
    """Runs Python text in another process and leaves it at its first `input()`."""
    running = []

    def start(text, *arguments):
        child = subprocess.Popen(
            [sys.executable, "-P", "-c", text, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        running.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start
    for child in running:
        child.kill()
        child.communicate()
