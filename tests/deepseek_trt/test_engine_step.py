"""The step of recipes: what it plans, and remedies in the words of a recipe."""

import pytest
from trt_models import one

from deepseek_core import Artifact, compression, errors
from deepseek_trt.backends.fake import SCRIPT
from deepseek_trt.errors import BuildFailed, CacheUnusable, ModelRefused
from deepseek_trt.step import BuildEngine


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path / "cache"))


def artifact(**given):
    return Artifact.from_bytes(one("Relu", **given).SerializeToString(), format="onnx")


def step(**options):
    return BuildEngine(compute=("8.6",), backend="fake", **options)


def context(folder, **more):
    return compression.StepContext(workspace=folder, **more)


def free():
    model = one("Relu")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    return Artifact.from_bytes(model.SerializeToString(), format="onnx")


def shape_of(model):
    from deepseek_trt.model.read import read_model

    (value,) = read_model(model.read()).graph.input
    return value.name, tuple(d.dim_value or 1 for d in value.type.tensor_type.shape.dim)


def test_an_input_of_free_length_gets_the_shape_of_the_recipe(tmp_path):
    name, shape = shape_of(free())
    plan = step().plan(free(), context(tmp_path, inputs={name: (3, *shape[1:])}))
    (profile,) = plan.choices["profiles"]
    assert profile["min"] == profile["opt"] == profile["max"] == [3, *shape[1:]]
    assert any("alone" in note for note in plan.notes)
    assert step().plan(artifact(), context(tmp_path)).choices == {"profiles": []}


def test_a_profile_that_was_given_stays(tmp_path):
    name, shape = shape_of(free())
    text = "x".join(map(str, shape))
    given = step(profiles=(f"{name}={text}:8x..:9x..",))
    (profile,) = given.plan(free(), context(tmp_path, inputs={name: shape})).choices["profiles"]
    assert profile["max"] == [9, *shape[1:]]


def test_without_any_shape_the_recipe_is_told_what_to_write(tmp_path):
    name, _ = shape_of(free())
    with pytest.raises(ModelRefused) as refused:
        step().plan(free(), context(tmp_path))
    assert refused.value.remedy.startswith(f'profiles = ["{name}=')


def test_a_failed_build_says_what_to_write(tmp_path, monkeypatch):
    script = tmp_path / "script.json"
    monkeypatch.setenv(SCRIPT, str(script))
    script.write_text('{"wait_s": 60}')
    slow, model = step(time_limit_s=0.3, cache=False), artifact()
    with pytest.raises(BuildFailed) as failed:
        slow.apply(model, slow.plan(model, context(tmp_path)), context(tmp_path))
    assert "raise time_limit_s" in failed.value.remedy
    assert not list(tmp_path.glob("engine*"))


def test_a_cache_that_cannot_be_used_says_what_to_write(tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tensorrt").write_text("a file")
    model, made = artifact(), step()
    with pytest.raises(CacheUnusable) as unusable:
        made.apply(model, made.plan(model, context(tmp_path)), context(tmp_path))
    assert "cache = false" in unusable.value.remedy
    assert step(cache=False).apply(model, made.plan(model, context(tmp_path)), context(tmp_path))


def test_what_progress_raises_ends_the_build(tmp_path):
    def stop(_done, _of, _text):
        raise errors.Interrupted("stopped")

    model, made = artifact(), step()
    with pytest.raises(errors.Interrupted):
        made.apply(model, made.plan(model, context(tmp_path)), context(tmp_path, progress=stop))
    assert not list((tmp_path / "cache").glob("tensorrt/*.engine"))


def test_it_names_the_library_that_engines_are_of():
    """Recipes keep it in their lock."""
    (version,) = step().versions().values()
    assert step().versions() == {"fake": version}
    assert version.endswith("simulated")
