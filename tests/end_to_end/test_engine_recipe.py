"""A recipe that ends with a TensorRT engine: built, kept, and refused before any work."""

import json

import pytest
from command import ds_sdk, ds_sdk_here
from spots import HEAD, write_spots

from deepseek_trt import load
from deepseek_trt.artifact import Runner
from deepseek_trt.backends.find import flavors
from deepseek_trt.errors import EngineMismatch

RECIPE = f"""{HEAD}
[[lower]]
use = "trt"

[[lower]]
use = "trt_engine"
of = "trt"
compute = ["8.9", "8.6"]
backend = "fake"

[budget]
accuracy_drop = 10
latency = {{ device = "cpu", p50_ms = 1000 }}
"""


@pytest.fixture
def folder(tmp_path):
    write_spots(tmp_path)
    return tmp_path


def compress(folder, recipe, *words, before=""):
    (folder / "recipe.toml").write_text(recipe)
    return ds_sdk(folder, "compress", words[0], "recipe.toml", *words[1:], before=before)


def ran(folder, recipe, output):
    done = compress(folder, recipe, "run", "-o", output, "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    return report, next(v for v in report["variants"] if v["name"] == "trt_engine")


def test_a_second_run_takes_the_engine_from_the_cache(folder):
    report, engine = ran(folder, RECIPE, "one")
    assert engine["file"] == "model.trt_engine.engine"
    assert engine["accuracy"] is None
    assert engine["latency_s"] is None
    assert any("model.trt_engine.engine" in line for line in report["not_measured"])
    assert "NO ENGINE (simulated), built now" in engine["notes"]
    assert "for x of shape 1x4x8x8 alone" in engine["notes"]
    _, again = ran(folder, RECIPE, "other")
    assert "NO ENGINE (simulated), from the cache" in again["notes"]
    files = [folder / out / "model.trt_engine.engine" for out in ("one", "other")]
    assert files[0].read_bytes() == files[1].read_bytes()
    manifest, _ = load(files[1])
    assert manifest.targets == ("8.6", "8.9")
    with pytest.raises(EngineMismatch, match="simulation"):
        load(files[0], Runner(flavor="tensorrt_rtx", version="1", target="8.6"))


def test_another_kind_of_gpu_is_another_engine(folder):
    ran(folder, RECIPE, "one")
    _, other = ran(folder, RECIPE.replace('["8.9", "8.6"]', '["8.9"]'), "other")
    assert "NO ENGINE (simulated), built now" in other["notes"]


def test_the_real_library_builds_what_the_recipe_lowered(folder):
    flavor = next(each for each in flavors() if each.name == "tensorrt_rtx")
    if not flavor.available:
        pytest.skip(f"TensorRT-RTX: {flavor.reason}; {flavor.remedy}")
    recipe = RECIPE.replace('backend = "fake"', 'backend = "tensorrt_rtx"')
    _, engine = ran(folder, recipe, "one")
    assert "an engine, built now" in engine["notes"]
    manifest, content = load(folder / "one" / "model.trt_engine.engine")
    assert len(content) == engine["nbytes"]
    assert not manifest.simulated
    assert not manifest.warnings
    _, again = ran(folder, recipe, "other")
    assert "an engine, from the cache" in again["notes"]


GONE = """
import importlib.util as util
found = util.find_spec
util.find_spec = lambda name, *more: None if name.startswith("tensorrt") else found(name, *more)
"""


@pytest.mark.parametrize("words", [("plan",), ("run", "--dry-run"), ("run", "-o", "out")])
def test_without_tensorrt_it_is_refused_before_any_work(folder, words):
    recipe = RECIPE.replace('backend = "fake"\n', "")
    done = compress(folder, recipe, *words, before=GONE)
    assert done.returncode == 2
    assert "lower[1]: tensorrt_rtx can't be used here: it is not installed" in done.stderr
    assert "deepseek-trt[rtx]" in done.stderr or "compress_trt[rtx]" in done.stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('of = "trt"\n', "", 'made of: fp32, trt -> add of = "trt"'),
        ('of = "trt"', 'of = "tr"', 'add of = "trt"'),
        ('compute = ["8.9", "8.6"]\n', "", "needs compute"),
        (
            'compute = ["8.9", "8.6"]',
            'compute = ["9.9"]',
            '-> compute = ["7.5", "8.0", "8.6", "8.9", "12.0", "12.1"]',
        ),
        ('backend = "fake"', "time_limit_s = -1", "-> time_limit_s = 1800"),
        ('compute = ["8.9", "8.6"]', 'compute = ["ampere"]', "is not a compute capability"),
        ('compute = ["8.9", "8.6"]', 'comptue = ["8.6"]', "did you mean compute"),
        ('backend = "fake"', 'profiles = ["x=1x"]\nbackend = "fake"', "is not a shape"),
        ('backend = "fake"', 'backend = "onnxruntime"', "must be one of auto, tensorrt"),
    ],
)
def test_a_mistake_is_told_when_the_recipe_is_read(folder, old, new, said):
    (folder / "recipe.toml").write_text(RECIPE.replace(old, new))
    done = ds_sdk_here(folder, "compress", "plan", "recipe.toml")
    assert done.returncode == 2, done.stderr
    assert said in done.stderr


def test_a_file_for_another_runtime_is_refused_by_the_names_of_its_nodes(folder):
    recipe = RECIPE.replace('use = "trt"\n', 'use = "ort_x86"\n').replace('"trt"\n', '"ort_x86"\n')
    done = compress(folder, recipe, "run", "-o", "out")
    assert done.returncode == 1
    assert "TensorRT does not take the model" in done.stderr
    assert "QuantizeLinear" in done.stderr
    assert not (folder / "out" / "MANIFEST.json").exists()
    assert (folder / "out" / ".run").is_dir()  # what was done before it is kept
