"""The cache: what is a hit, what is a miss, and what is not believed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from onnx import numpy_helper
from trt_caches import MODEL, OPTIONS, Fakes
from trt_models import one, two

from deepseek_core import errors
from deepseek_trt.backends.backend import Identity
from deepseek_trt.cache.engines import EngineCache
from deepseek_trt.cache.key import key_of
from deepseek_trt.errors import CacheUnusable
from deepseek_trt.options import BuildOptions
from deepseek_trt.profile import Profile


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    return Fakes(tmp_path, monkeypatch)


def test_a_second_build_is_a_hit_without_a_call_of_the_builder(fakes):
    first, second = fakes.build(), fakes.build()
    assert (first.from_cache, second.from_cache, fakes.calls) == (False, True, 1)
    assert second.content == first.content
    assert second.manifest == first.manifest


def test_one_changed_byte_of_a_weight_is_a_miss(fakes):
    weights = np.ones((4, 5), np.float32)
    fakes.build(two("MatMul", weights))
    changed = weights.copy()
    changed.view(np.uint8)[0, 0] ^= 1
    assert not fakes.build(two("MatMul", changed)).from_cache
    assert fakes.calls == 2


def test_who_exported_a_model_and_how_its_numbers_are_written_does_not_count(fakes):
    weights = np.ones((4, 5), np.float32)
    fakes.build(two("MatMul", weights))
    same = two("MatMul", weights)
    same.producer_name, same.doc_string, same.graph.node[0].doc_string = "somebody", "a", "b"
    same.metadata_props.add(key="made", value="today")
    tensor = same.graph.initializer[0]
    tensor.float_data.extend(numpy_helper.to_array(tensor).ravel().tolist())
    tensor.ClearField("raw_data")
    assert fakes.build(same).from_cache


@pytest.mark.parametrize(
    "other",
    [
        {"targets": "8.6,8.9"},
        {"tf32": False},
        {"sparse_weights": True},
        {"workspace_nbytes": 1 << 20},
        {"profiles": [Profile(input="x", min=(2, 3, 4), opt=(2, 3, 4), max=(2, 3, 4))]},
    ],
    ids=lambda other: next(iter(other)),
)
def test_other_options_are_a_miss(fakes, other):
    fakes.build()
    assert not fakes.build(options=BuildOptions(**{"targets": "8.6", **other})).from_cache


def test_a_limit_of_time_and_the_order_of_targets_do_not_count(fakes):
    fakes.build(options=BuildOptions(targets="8.9,8.6"))
    again = BuildOptions(targets=["8.6", "8.9", "8.6"], time_limit_s=5)
    assert fakes.build(options=again).from_cache


@pytest.mark.parametrize("field", ["flavor", "version", "device"])
def test_another_library_is_another_key(field):
    library = {"flavor": "tensorrt", "version": "1", "targets": ("8.6",), "device": "A10"}
    known = Identity(**library)
    other = Identity(**{**library, field: "2"})
    assert key_of("0", known, OPTIONS) != key_of("0", other, OPTIONS)


def test_external_data_counts_by_its_content(fakes, tmp_path):
    import onnx

    model = two("MatMul", np.ones((4, 500), np.float32))
    path = tmp_path / "outside.onnx"
    onnx.save(model, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    inside = two("MatMul", np.ones((4, 500), np.float32))
    fakes.build(inside)
    assert fakes.build(path).from_cache
    data = tmp_path / "data.bin"
    data.write_bytes(b"\1" + data.read_bytes()[1:])
    assert not fakes.build(path).from_cache


def test_one_flipped_bit_is_noticed_and_the_engine_built_again(fakes):
    first = fakes.build()
    path = fakes.cache.folder / f"{first.manifest.key}.engine"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again = fakes.build()
    assert not again.from_cache
    assert "is damaged" in again.notes[0]
    assert fakes.build().from_cache


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
@pytest.mark.parametrize("kind", ["json", "engine"])
def test_an_engine_of_another_user_is_built_again(fakes, kind):
    key = fakes.build().manifest.key
    os.chown(fakes.cache.folder / f"{key}.{kind}", 12345, 12345)
    again = fakes.build()
    assert not again.from_cache
    assert "belongs to another user" in again.notes[0]
    assert fakes.build().from_cache


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": "deepseek-trt engine 9"}', "\0"])
def test_a_manifest_that_is_none_is_noticed(fakes, content):
    key = fakes.build().manifest.key
    (fakes.cache.folder / f"{key}.json").write_text(content)
    again = fakes.build()
    assert not again.from_cache
    assert again.notes
    assert fakes.build().from_cache


def test_an_engine_under_the_name_of_another_is_not_taken(fakes):
    first = fakes.build().manifest.key
    second = fakes.build(one("Neg")).manifest.key
    for ending in ("json", "engine"):
        folder = fakes.cache.folder
        (folder / f"{first}.{ending}").write_bytes((folder / f"{second}.{ending}").read_bytes())
    assert not fakes.build().from_cache


def test_an_engine_that_went_is_a_miss(fakes):
    key = fakes.build().manifest.key
    (fakes.cache.folder / f"{key}.engine").unlink()
    assert not fakes.build().from_cache


def test_the_folder_is_private(fakes):
    fakes.build()
    assert fakes.cache.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_read_is_closed_to_them(fakes):
    fakes.cache.folder.mkdir(mode=0o755)
    fakes.build()
    assert fakes.cache.folder.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_could_write_to_is_refused(fakes):
    fakes.build()
    fakes.cache.folder.chmod(0o777)
    with pytest.raises(CacheUnusable, match="others can write"):
        fakes.build()


def test_a_link_in_the_place_of_the_folder_is_refused(fakes, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    fakes.cache.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CacheUnusable, match="not a folder, or a link"):
        fakes.build()


def test_a_file_in_the_place_of_the_folder_is_refused(fakes):
    fakes.cache.folder.write_text("")
    with pytest.raises(CacheUnusable):
        fakes.build()
    assert fakes.calls == 0


def test_the_ones_not_used_for_longest_go_first(fakes):
    kept = [fakes.build(one(operator)).manifest for operator in ("Relu", "Neg", "Abs")]
    for age, manifest in zip((30, 20, 10), kept, strict=True):
        path = fakes.cache.folder / f"{manifest.key}.json"
        os.utime(path, (path.stat().st_atime, path.stat().st_mtime - age))
    assert fakes.build(one("Relu")).from_cache  # used now, so "Neg" is the oldest
    fakes.cache.limit_nbytes = kept[0].nbytes * 3
    newest = fakes.build(one("Sign")).manifest
    left = {each.manifest.key for each in fakes.cache.entries()}
    assert left == {kept[0].key, kept[2].key, newest.key}
    assert len(fakes.files()) == 6


def test_the_newest_is_kept_even_if_it_is_larger_than_the_limit(fakes):
    fakes.cache.limit_nbytes = 1
    fakes.build(one("Neg"))
    fakes.build()
    assert [each.manifest.key for each in fakes.cache.entries()] == [fakes.build().manifest.key]


def test_clear_removes_all_and_leaves_foreign_files(fakes):
    fakes.build()
    fakes.build(one("Neg"))
    (fakes.cache.folder / "notes.txt").write_text("mine")
    assert fakes.cache.clear() == 2
    assert fakes.files() == ["notes.txt"]
    assert fakes.cache.clear() == 0


def test_what_a_killed_writer_left_goes_with_the_next_engine(fakes):
    fakes.build()
    lone = "a" * 64
    (fakes.cache.folder / f".{lone}.part").write_bytes(b"half")
    (fakes.cache.folder / f"{lone}.engine").write_bytes(b"without a manifest")
    fakes.build(one("Neg"))
    assert not [name for name in fakes.files() if lone in name]


def test_an_engine_in_the_place_of_a_simulation_is_labeled(fakes):
    engine = fakes.build()
    assert engine.content.startswith(b"NO ENGINE")
    assert engine.manifest.simulated
    assert json.loads(engine.manifest.text())["simulated"] is True


def test_the_default_folder_is_that_of_the_sdk(tmp_path, monkeypatch):
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(tmp_path))
    assert EngineCache().folder == Path(tmp_path) / "tensorrt"


def test_without_a_cache_nothing_is_kept(fakes):
    from deepseek_trt.building.build import build

    assert not build(MODEL, OPTIONS, backend="fake").from_cache
    assert not fakes.cache.folder.exists()


def test_a_backend_that_is_none_is_named(fakes):
    from deepseek_trt.building.build import build

    with pytest.raises(errors.ConfigError, match="'tensorflow'"):
        build(MODEL, OPTIONS, backend="tensorflow")
