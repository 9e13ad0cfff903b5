"""Where the system is not Linux: what macOS lacks has a fall-back, what Windows lacks a sentence.

Simulated: what those systems do not have is taken out of Python before anything is imported.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import plugin_zoo as zoo
import pytest
from test_zoo import write_model

import deepseek_core.discovery

MACOS = """
import fcntl, os, signal
for name in ("sched_getaffinity", "sched_setaffinity", "posix_fallocate", "O_DIRECT", "waitid",
             "P_ALL", "posix_fadvise", "memfd_create", "copy_file_range", "O_TMPFILE"):
    vars(os).pop(name, None)
for name in ("F_OFD_SETLK", "F_OFD_SETLKW", "F_OFD_GETLK"):
    vars(fcntl).pop(name, None)
for name in ("sigtimedwait", "sigwaitinfo"):
    vars(signal).pop(name, None)
"""
WINDOWS = (
    MACOS
    + """
import sys
for name in ("fcntl", "resource", "grp", "pwd", "termios"):
    sys.modules[name] = None
for name in ("fork", "register_at_fork", "killpg", "getuid", "geteuid", "getgroups", "setsid",
             "getpgid", "sysconf", "statvfs", "pread", "pwrite", "preadv", "pwritev"):
    vars(os).pop(name, None)
import _signal
for module in (signal, _signal):
    for name in ("setitimer", "getitimer", "alarm", "SIGALRM", "SIGHUP", "SIGUSR1",
                 "pthread_sigmask", "pthread_kill"):
        vars(module).pop(name, None)
"""
)
SITE = """
import builtins, os, sys
if os.environ.get("ZOO_SYSTEM"):
    exec(os.environ["ZOO_SYSTEM"])
"""


@pytest.fixture(params=[MACOS, WINDOWS], ids=["macos", "windows"])
def sdk(request, tmp_path):
    """Runs `ds-sdk` on such a system, its child processes too."""
    write_model(tmp_path)
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    path = [str(site), str(zoo.SOURCES), *filter(None, os.environ.get("PYTHONPATH", "").split(":"))]

    def run(*words, plugins="cpu_onnx"):
        env = os.environ | {
            "PYTHONPATH": os.pathsep.join(path),
            "ZOO_SYSTEM": request.param,
            "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
            "DEEPSEEK_CONFIG": str(tmp_path / "none.toml"),
            "DEEPSEEK_PLUGINS": plugins,
        }
        return subprocess.run(
            [sys.executable, "-m", "deepseek_core", *words], cwd=tmp_path,
            capture_output=True, text=True, env=env, timeout=120, check=False,
        )  # fmt: skip

    run.system = request.node.callspec.id
    return run


def test_the_core_works(sdk):
    rows = json.loads(sdk("list-plugins", "--json").stdout)["plugins"]
    assert [row["status"] for row in rows if row["name"] == "cpu_onnx"] == ["available"]
    devices = json.loads(sdk("devices", "--json").stdout)["devices"]
    assert [d["status"] for d in devices if d["id"] == "onnx:cpu"] == ["available"]
    process = sdk("run", "tiny.onnx", "--input", "x.npz", "--json")
    assert process.returncode == 0, process.stderr
    assert json.loads(process.stdout)["items"] == 3
    assert sdk("doctor", "--json").returncode == 0


def test_a_plugin_of_others_works(sdk, tmp_path):
    zoo.install(tmp_path / "site", "well")
    process = sdk("devices", "--json", plugins="well")
    assert process.returncode == 0, process.stderr
    assert [d["id"] for d in json.loads(process.stdout)["devices"]] == ["zoo_well:0"]


def test_a_store_works_or_says_which_system_it_needs(sdk):
    plugins = "store,storage_local"
    process = sdk("store", "init", "home", plugins=plugins)
    if sdk.system == "windows":
        assert process.returncode == 1
        assert "fix: run it on Linux (on Windows: in WSL 2)" in process.stderr
    else:
        assert process.returncode in (0, 2)
        assert process.returncode == 0 or "needs Linux" in process.stderr
    assert "Traceback" not in process.stderr
    assert "unexpected" not in process.stderr


def test_nothing_of_linux_alone_is_imported_by_what_lists_plugins():
    """`fcntl`, `resource` and others of POSIX stand in the function that needs them."""
    files = list(Path(deepseek_core.discovery.__file__).parent.glob("*.py"))
    assert len(files) > 20
    posix = r"^(?:import|from) (?:fcntl|resource|grp|pwd|termios|posix)\b"
    found = [file.name for file in files if re.search(posix, file.read_text(), re.MULTILINE)]
    assert not found
