"""No garbage is looked for while `ds-sdk` starts; from the model on as in any process."""

import os
import subprocess
import sys

import numpy as np
import onnx
import plugin_zoo as zoo
import pytest
from onnx import TensorProto, helper

CODE = """
import gc, os, sys
usual, looks = gc.get_threshold(), []
os.environ["USUAL"] = str(usual)
from deepseek_core.cli import main
sys.argv = ["ds-sdk", *sys.argv[1:]]
gc.callbacks.append(lambda phase, info: looks.append(info["generation"]))
main()
looked = len(looks)
print("\\nlast:", looked, gc.get_threshold() == usual, gc.get_freeze_count() > 10_000)
"""

COMMAND = """
from deepseek_core import CommandSpec, hookimpl, hooks

@hookimpl(hooks.ds_register_commands)
def commands(ctx):
    return [CommandSpec(name="do-it", main="{module}.hooks:main", summary="does it")]

def main(words):
    import gc, os
    same = str(gc.get_threshold()) == os.environ["USUAL"]
    print("at first:", same, gc.get_freeze_count() > 10_000)
"""


def lines(words, folder, path=()):
    done = subprocess.run(
        [sys.executable, "-P", "-c", CODE, *words],
        cwd=folder, env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout.splitlines()


@pytest.fixture
def folder(tmp_path):
    """With a model and an input for it."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 2]) for n in "xy")
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "relu", [x], [y])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    np.savez(tmp_path / "x.npz", x=np.ones((1, 2), np.float32))
    return tmp_path


def test_a_start_looks_for_no_garbage(tmp_path):
    assert lines(["list-plugins"], tmp_path)[-1] == "last: 0 True True"


def test_a_model_is_loaded_and_run_with_the_usual_thresholds(folder):
    *_, last = lines(["run", "m.onnx", "--input", "x.npz"], folder)
    assert last.endswith("True True")
    assert not last.startswith("last: 0 "), last


def test_a_command_of_a_plugin_begins_with_the_usual_thresholds(tmp_path):
    zoo.install(tmp_path, "doer", hooks=COMMAND)
    assert "at first: True True" in lines(["do-it"], tmp_path, [tmp_path])


def test_a_caller_of_main_keeps_its_own():
    code = (
        "import gc; from deepseek_core.cli import main; gc.set_threshold(333, 7, 7)\n"
        "main(['list-plugins', '--no-load'])\n"
        "assert gc.get_threshold() == (333, 7, 7) and not gc.get_freeze_count()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
