"""With `--json`, stdout has the answer and nothing that a plugin prints, whenever it does."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import plugin_zoo as zoo
import pytest
from test_zoo import write_model

MODEL = "{folder}/tiny.onnx"
DATA = ["--input", "{folder}/x.npz"]
ON_CHATTY = ["--device", "chatty"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chatty")
    write_model(folder)
    return zoo.install_chatty(folder)


def answer(folder, *words, env=None, path=None):
    env = {
        "DEEPSEEK_CACHE_DIR": str(folder / "cache"),
        "DEEPSEEK_CONFIG": str(folder / "none.toml"),
    } | (env or {})  # fmt: skip
    filled = [word.replace("{folder}", str(folder)) for word in words]
    process = zoo.ds_sdk(*filled, path=[path or folder], env=env, timeout_s=120)
    assert process.returncode == 0, process.stderr
    return process


@pytest.mark.parametrize(
    "words",
    [
        ["list-plugins", "--probe"],
        ["devices", "--refresh", "--telemetry"],
        ["plan", MODEL, *ON_CHATTY],
        ["run", MODEL, *DATA, *ON_CHATTY],
        ["run", MODEL, *DATA, *ON_CHATTY, "--latency", "realtime"],
        ["explain", MODEL, *DATA, *ON_CHATTY],
        ["calibrate", MODEL, *DATA, *ON_CHATTY],
        ["bench", MODEL, *DATA],
        ["schedule", MODEL, "--json", "-"],
        ["doctor"],
    ],
    ids=" ".join,
)
def test_the_answer_is_json_whatever_a_plugin_prints(words, folder):
    process = answer(folder, *words, *([] if "--json" in words else ["--json"]))
    assert isinstance(json.loads(process.stdout), dict)
    if words[0] in ("plan", "run", "explain", "calibrate", "bench"):
        assert "{not json supports" in process.stderr
        for part in ("{nor this", "from below", "from a child"):
            assert part in process.stderr


@pytest.mark.parametrize(
    "source",
    [
        "import sys\nsys.stdout.close()\n",
        "import sys\nsys.__stdout__.close()\n",
        "import sys\nsys.stderr.close()\n",
        "import sys\nsys.stdin.close()\n",
        "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach())\n",
        "import io, sys\nsys.stderr = io.TextIOWrapper(sys.stderr.buffer)\n",
        "import threading\nthreading.main_thread = threading.Thread\n",  # as gevent
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_streams_outlive_a_plugin_that_ends_them(source, as_json, tmp_path):
    zoo.install(tmp_path, "ends", hooks=source + zoo.HOOKS)
    words = ["list-plugins", *(["--json"] if as_json else [])]
    env = {
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"), "DEEPSEEK_DISABLE_PLUGINS": "nobody",
    }  # fmt: skip
    process = zoo.ds_sdk(*words, path=[tmp_path], env=env, timeout_s=60)
    assert process.returncode == 0, process.stderr
    assert "note: " in process.stderr, "which comes after the answer, too"
    assert "cpu_onnx" in process.stdout
    if as_json:
        assert json.loads(process.stdout)
    few = env | {"DEEPSEEK_PLUGINS": "ends,cpu_onnx"}  # each device that is asked takes a process
    wrong = zoo.ds_sdk("plan", "nothing.onnx", path=[tmp_path], env=few)
    assert wrong.returncode == 2 and "error: " in wrong.stderr


COMMAND = """
from deepseek_core import CommandSpec, console, hookimpl, hooks

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [CommandSpec(name="acme", main="{module}.hooks:main", summary="does it")]

def main(argv):
    print('{"a": 1,')
    console.print_lines('"b": 2}')
    return 0
"""


@pytest.mark.parametrize("words", [["--json"], []])
def test_a_command_of_others_may_print_its_answer(words, tmp_path):
    zoo.install(tmp_path, "acme", hooks=COMMAND)
    process = answer(tmp_path, "acme", *words)
    assert json.loads(process.stdout) == {"a": 1, "b": 2}


def test_bytes_of_objects_have_stdout_for_themselves(tmp_path):
    """The tier of the store is one that prints when it is opened."""
    hooks = """
        from deepseek_core import TierSpec, hookimpl, hooks

        @hookimpl(hooks.ds_register_storage_tiers)
        def tiers(ctx):
            return [TierSpec(name="acme", schemes=("acme",), temperature="warm",
                             factory="{module}.hooks:tier")]

        def tier(url):
            import os
            from deepseek_core import open_tier
            print("opened", url)
            os.write(1, b"from below")
            return open_tier("file://" + url.removeprefix("acme://"))
        """
    zoo.install(tmp_path, "acme", hooks=hooks)
    home, file = str(tmp_path / "home"), tmp_path / "file"
    file.write_text("plain text")
    place = f"acme://{tmp_path}/place"
    (tmp_path / "place").mkdir()
    made = answer(tmp_path, "store", "init", home, "--warm", place, "--json")
    assert "opened acme://" in made.stderr and "from below" in made.stderr
    assert json.loads(made.stdout)
    assert json.loads(answer(tmp_path, "store", "put", home, "file", str(file), "--json").stdout)
    answer(tmp_path, "store", "send", home, "file", "--tier", "warm")
    process = answer(tmp_path, "store", "cat", home, "file")
    assert process.stdout == "plain text"
    assert "opened acme://" in process.stderr


def test_what_a_plugin_reads_is_not_taken_from_the_command(tmp_path):
    reads = "import os, sys\nsys.stdin.read()\nos.read(0, 1 << 20)\n"
    zoo.install(tmp_path, "reads", hooks=reads + zoo.HOOKS)
    home = str(tmp_path / "home")
    answer(tmp_path, "store", "init", home)
    path = [str(tmp_path), str(zoo.SOURCES), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-P", "-m", "deepseek_core", "store", "put", home, "key", "-"],
        input=b"of the user", env=os.environ | {"PYTHONPATH": os.pathsep.join(path)}, check=True,
        timeout=60,
    )  # fmt: skip
    assert answer(tmp_path, "store", "cat", home, "key").stdout == "of the user"


def test_commands_write_to_stdout_by_the_one_writer_alone():
    """Ruff forbids `print`; this, what goes around it."""
    root = Path(__file__).parents[2]
    files = [*root.glob("core/src/deepseek_core/cli/**/*.py")]
    files += root.glob("plugins/*/src/*/cli/**/*.py")
    assert len(files) > 80
    found = []
    for file in files:
        if "scaffold" in file.parts or file.name == "answer.py":
            continue
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("stdout", "__stdout__"):
                found.append(f"{file.relative_to(root)}:{node.lineno}")
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
                found.append(f"{file.relative_to(root)}:{node.lineno}")
    assert found == []
