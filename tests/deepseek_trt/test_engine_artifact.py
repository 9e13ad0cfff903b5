"""Engines as files: verified when they are read, and refused where they do not run."""

import json

import attrs
import pytest
from trt_caches import MODEL, OPTIONS

from deepseek_core import errors
from deepseek_trt import build
from deepseek_trt.artifact import Runner, check_runner, load, save
from deepseek_trt.errors import EngineDamaged, EngineMismatch

RUNNER = Runner(flavor="tensorrt_rtx", version="1.7", target="8.6")


@pytest.fixture(scope="module")
def engine():
    return build(MODEL, OPTIONS, backend="fake")


@pytest.fixture
def saved(engine, tmp_path):
    return save(engine, tmp_path / "deep" / "er", "net")


def test_what_is_saved_is_loaded(engine, saved):
    manifest, content = load(saved)
    assert (manifest, content) == (engine.manifest, engine.content)
    assert sorted(p.name for p in saved.parent.iterdir()) == ["net.engine", "net.engine.json"]


def test_the_manifest_names_what_enters_and_leaves(saved):
    given = json.loads(saved.with_name("net.engine.json").read_text())
    assert given["inputs"] == [{"name": "x", "dtype": "FLOAT", "shape": [2, 3, 4]}]
    assert [row["name"] for row in given["outputs"]] == ["y"]
    assert given["targets"] == ["8.6"]


def test_one_flipped_bit_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    content[3] ^= 4
    saved.write_bytes(content)
    with pytest.raises(EngineDamaged, match="is damaged"):
        load(saved)


@pytest.mark.parametrize("name", ["net.engine", "net.engine.json"])
def test_a_missing_file_is_named(saved, name):
    saved.with_name(name).unlink()
    with pytest.raises(EngineDamaged, match=name):
        load(saved)


@pytest.mark.parametrize(
    ("field", "value", "both"),
    [
        ("flavor", "tensorrt", ("tensorrt_rtx", "tensorrt")),
        ("version", "1.8", ("1.7", "1.8")),
        ("targets", ("8.9", "12.0"), ("8.6", "8.9, 12.0")),
    ],
)
def test_an_engine_for_something_else_is_refused_with_both_names(engine, field, value, both):
    fits = attrs.evolve(
        engine.manifest, flavor="tensorrt_rtx", version="1.7", simulated=False, targets=("8.6",)
    )
    check_runner(fits, RUNNER)
    with pytest.raises(EngineMismatch) as told:
        check_runner(attrs.evolve(fits, **{field: value}), RUNNER)
    assert (told.value.wanted, told.value.found) == both
    assert all(word in told.value.message for word in both)


def test_an_engine_of_another_gpu_of_that_kind_is_refused(engine):
    manifest = attrs.evolve(
        engine.manifest, flavor="tensorrt", version="1.7", simulated=False, device="NVIDIA A10"
    )
    here = Runner(flavor="tensorrt", version="1.7", target="8.6", device="NVIDIA A40")
    with pytest.raises(EngineMismatch, match=r"NVIDIA A10.*NVIDIA A40"):
        check_runner(manifest, here)


def test_a_simulation_runs_nowhere(saved):
    with pytest.raises(EngineMismatch, match="simulation"):
        load(saved, attrs.evolve(RUNNER, flavor="fake", version="0-simulated"))


def test_a_folder_that_cannot_be_written_is_an_error(engine, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(errors.WriteError, match="can't be written"):
        save(engine, tmp_path / "file" / "folder")


def test_errors_survive_a_pickle():
    import pickle

    error = EngineMismatch("a", wanted="b", found="c", remedy="d")
    again = pickle.loads(pickle.dumps(error))
    assert (again.wanted, again.found, again.remedy) == ("b", "c", "d")
