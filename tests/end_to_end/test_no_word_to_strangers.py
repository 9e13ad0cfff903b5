"""With the network cut and a private home: no command connects, asks for a name, or queues a word.

A library that is preloaded (`wire.c`) cuts the network and notes each try, of native code too.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

COMPILER = shutil.which("gcc") or shutil.which("cc")
SOURCE = Path(__file__).with_name("wire.c")
HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD is Linux's"),
    pytest.mark.skipif(COMPILER is None, reason="it takes a C compiler"),
]

COMMANDS = [
    ["--version"],
    ["list-plugins", "--probe"],
    ["doctor"],
    ["devices"],
    ["config", "show"],
    ["plugin-info", "cpu_onnx"],
    ["plan", "tiny.onnx"],
    ["calibrate", "tiny.onnx", "--input", "x.npz"],
    ["run", "tiny.onnx", "--input", "x.npz"],
    ["explain", "tiny.onnx", "--input", "x.npz"],
    ["bench", "tiny.onnx", "--input", "x.npz"],
    ["schedule", "--help"],
    ["new-plugin", "device", "acme_npu"],
    ["store", "init", "stored"],
    ["store", "put", "stored", "key", "x.npz"],
    ["store", "ls", "stored"],
    ["store", "status", "stored"],
    ["trt", "check", "tiny.onnx"],
    ["fpga", "build", "--target", "aoc", "--kernel", "hamming", "--board", "pac_a10",
     "--output", "board", "--dry-run"],
    ["compress", "init", "recipe.toml"],
    ["compress", "plan", "recipe.toml"],
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a model and the library; its home is `private`."""
    folder = tmp_path_factory.mktemp("strangers")
    shared = folder / "wire.so"
    command = [COMPILER, "-shared", "-fPIC", "-O1", "-o", str(shared), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True, timeout=120)
    node = helper.make_node("Relu", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 3]) for n in "xy")
    graph = helper.make_graph([node], "tiny", [x], [y])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "tiny.onnx")
    np.savez(folder / "x.npz", x=np.ones((2, 3), np.float32))
    (folder / "private").mkdir(mode=0o700)
    return folder


def run(place, *words, start=("-m", "deepseek_core")):
    """What a command did, and whom it wanted to reach."""
    ours = ("DEEPSEEK_", "ORT_", "XDG_", "RAY_", "AWS_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    notes = place / "notes"
    notes.unlink(missing_ok=True)
    env = kept | dict.fromkeys(HOMES, str(place / "private"))
    env |= {"LD_PRELOAD": str(place / "wire.so"), "ZOO_WIRE": str(notes), "TMPDIR": str(place)}
    process = subprocess.run(
        [sys.executable, *start, *words],
        cwd=place, env=env, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    return process, notes.read_text().splitlines() if notes.exists() else []


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_no_command_wants_the_network(words, place):
    process, wanted = run(place, *words)
    assert wanted == []
    assert process.returncode in (0, 1, 2)
    assert "Traceback" not in process.stderr


def test_what_is_left_in_the_home_is_ours(place):
    """After all commands nothing waits there to be sent, and no library has made itself at home."""
    run(place, "run", "tiny.onnx", "--input", "x.npz")
    private = place / "private"
    found = {file.relative_to(private).parts[0] for file in private.rglob("*") if file.is_file()}
    assert found <= {"deepseek", "pocl"}, "PoCL keeps what it compiles"
    inside = {
        file.relative_to(private / "deepseek").parts[0] for file in private.glob("deepseek/*")
    }
    ours = {"probes", "history.sqlite", "history.sqlite-wal", "history.sqlite-shm", "opencl",
            "fpga", "cuda", "tensorrt", "imports", "commands.json"}  # fmt: skip
    assert inside <= ours


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("import socket; socket.socket().connect_ex(('192.0.2.1', 80))", "connect 192.0.2.1"),
        ("import socket\ntry: socket.getaddrinfo('example.org', 80)\nexcept OSError: pass",
         "getaddrinfo example.org"),
        ("import socket as s\ntry: s.socket(type=s.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))\n"
         "except OSError: pass", "sendto 192.0.2.1"),
    ],
)  # fmt: skip
def test_a_try_would_be_noted(code, wanted, place):
    process, noted = run(place, start=("-c", code))
    assert process.returncode == 0, process.stderr
    assert noted == [wanted]
