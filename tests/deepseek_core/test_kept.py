"""A command that another one started ends with it, however that ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from deepseek_core.cli.kept import kept_command

PARENT = """
import subprocess, sys, time
code = "import sys, time; from deepseek_core.cli.kept import end_with; end_with({0});"
code += "print(1, flush=True); time.sleep(120)"
import os
child = subprocess.Popen([sys.executable, "-c", code.format(os.getpid())], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(120)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's promise is Linux's")


def test_it_is_ds_sdk():
    done = subprocess.run(
        kept_command(["--version"]), check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("ds-sdk")


def test_it_ends_with_a_parent_that_was_killed():
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGKILL)
    parent.wait(timeout=20)
    parent.stdout.close()
    end_s = time.monotonic() + 20
    while is_alive(child):
        assert time.monotonic() < end_s, "it goes on without its parent"
        time.sleep(0.05)


def is_alive(pid):
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_it_does_not_begin_for_a_parent_that_is_gone():
    words = kept_command(["--version"])
    words[words.index(str(os.getpid()))] = "1"
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
