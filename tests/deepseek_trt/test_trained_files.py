"""What a recipe trains in integers and lowers for `trt` is parsed and built by the real library."""

import sys
from pathlib import Path

import pytest
from rtx_library import builds, parses, rtx

pytest.importorskip("torch")

from deepseek_compress.recipe.job import Job
from deepseek_compress.recipe.run import run
from deepseek_trt.checking import check
from deepseek_trt.model.read import read_model
from deepseek_trt.profile import Profile

KIT = Path(__file__).parents[1] / "deepseek_compress"
TARGETS = ("8.0", "8.6", "8.9", "12.0")
DATA = """
import sys
sys.path.insert(0, {kit!r})
from small_torch import Depthwise, Residual, drawn, pictures

def residual():
    return drawn(Residual)

def depthwise():
    return drawn(Depthwise)

def train():
    return pictures(256)
"""
RECIPE = """
[model]
entry = "attack_trt_{name}.py:{name}"
input = [1, 1, 8, 8]

[data]
train = "attack_trt_{name}.py:train"

[[step]]
use = "qat"
target = "{target}"
weights = {bits}
activations = {bits}
batch_size = 32

[[lower]]
use = "trt"
"""


def lowered(folder, **chosen):
    (folder / f"attack_trt_{chosen['name']}.py").write_text(DATA.format(kit=str(KIT)))
    (folder / "recipe.toml").write_text(RECIPE.format(**chosen))
    with Job.read(folder / "recipe.toml") as job:
        run(job, folder / "out", resume=False, progress=lambda *_: None)
    return folder / "out" / "model.trt.onnx"


@pytest.mark.parametrize(
    ("name", "target", "bits"), [("residual", "trt", 8), ("depthwise", "ort_x86", 4)]
)
def test_a_trained_file_is_built_for_four_targets(tmp_path, monkeypatch, name, target, bits):
    rtx()
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = lowered(tmp_path, name=name, target=target, bits=bits)
    assert "ranges learned in training" in (tmp_path / "out" / "report.json").read_text()
    model = read_model(path)
    profile = Profile.parse("x=1x1x8x8:4x..:8x..")
    assert check(path, targets=TARGETS, profiles=[profile]).accepted
    assert parses(model)
    for chosen in TARGETS:
        assert builds(model, targets=chosen, profiles=[profile]), chosen
