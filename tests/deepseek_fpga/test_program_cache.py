"""Programs are compiled once, survive damage, and load from a vendor's file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from deepseek_core import errors
from deepseek_fpga.matcher import Matcher
from deepseek_fpga.opening import OpenDevice, open_device
from deepseek_fpga.platforms import list_devices
from deepseek_fpga.program_cache import ProgramCache, write_atomically
from deepseek_fpga.variants import Variant, kernel_source

DEVICES = [record.id for record in list_devices().devices]
pytestmark = pytest.mark.skipif(not DEVICES, reason=str(list_devices().remedy))

SMALL = Variant(metric="hamming", words="bits", rows=2, vecs=1)
GALLERY = np.arange(32, dtype=np.uint8).reshape(8, 4)


@pytest.fixture(scope="module", params=DEVICES)
def device(request) -> Iterator[OpenDevice]:
    opened = open_device(request.param)
    yield opened
    opened.close()


def build(device, folder) -> ProgramCache:
    programs = ProgramCache(device, folder)
    built = programs.build(kernel_source(), SMALL.options)
    assert "match" in {kernel.function_name for kernel in built.all_kernels()}
    return programs


def matches(device, folder, **more) -> Matcher:
    matcher = Matcher(
        device, GALLERY, metric="hamming", k=1, cache_folder=folder, variant=SMALL, **more
    )
    indices, distances = matcher.query(GALLERY[[5, 2]])
    assert indices.tolist() == [[5], [2]]
    assert distances.tolist() == [[0], [0]]
    matcher.close()
    return matcher


def test_a_hit_does_not_compile(device, tmp_path):
    first, second = build(device, tmp_path), build(device, tmp_path)
    assert (first.compiles, first.hits) == (1, 0)
    assert (second.compiles, second.hits) == (0, 1)


def test_a_program_from_the_cache_computes_the_same(device, tmp_path):
    assert matches(device, tmp_path).cache.compiles == 1
    assert matches(device, tmp_path).cache.compiles == 0


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_a_damaged_entry_is_compiled_again(device, tmp_path, damage):
    path = build(device, tmp_path).path_of(kernel_source(), SMALL.options)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + b"?" if damage is None else damage)
    assert build(device, tmp_path).compiles == 1
    assert build(device, tmp_path).hits == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
def test_an_entry_of_another_user_is_compiled_again(device, tmp_path):
    path = build(device, tmp_path).path_of(kernel_source(), SMALL.options)
    os.chown(path, 12345, 12345)
    assert build(device, tmp_path).compiles == 1
    assert path.stat().st_uid == os.getuid(), "it was replaced"
    assert build(device, tmp_path).hits == 1


def test_a_binary_that_the_driver_refuses_is_compiled_again(device, tmp_path, monkeypatch):
    build(device, tmp_path)

    def refuse(self, binary):
        raise errors.CompileError("refused", device_id=device.id)

    monkeypatch.setattr(ProgramCache, "_from_binary", refuse)
    assert build(device, tmp_path).compiles == 1


def test_source_options_and_device_make_the_key(device, tmp_path):
    programs = ProgramCache(device, tmp_path)
    paths = {
        programs.path_of("a", "b"),
        programs.path_of("a", "c"),
        programs.path_of("b", "b"),
        programs.path_of("", "ab"),
    }
    assert len(paths) == 4


def test_a_vendor_binary_runs(device, tmp_path):
    """The runtime's own binary takes the path of .aocx and .xclbin files."""
    programs = ProgramCache(device, tmp_path / "built")
    binary = tmp_path / "board.aocx"
    binary.write_bytes(programs.build(kernel_source(), SMALL.options).binaries[0])
    assert matches(device, tmp_path / "fresh", binary=binary).cache.compiles == 0


def test_a_vendor_binary_that_is_missing_or_empty_is_named(device, tmp_path):
    programs = ProgramCache(device, tmp_path)
    with pytest.raises(errors.ArtifactError, match=r"none\.aocx"):
        programs.load_binary(tmp_path / "none.aocx")
    (tmp_path / "empty.aocx").touch()
    with pytest.raises(errors.ArtifactError, match="empty"):
        programs.load_binary(tmp_path / "empty.aocx")


def test_a_source_that_does_not_build_gives_the_log(device, tmp_path):
    with pytest.raises(errors.CompileError) as caught:
        ProgramCache(device, tmp_path).build("__kernel void broken(", "")
    assert caught.value.device_id == device.id
    assert caught.value.log
    assert not list(tmp_path.rglob("*.bin"))


def test_a_folder_that_cannot_be_written_only_costs_time(device, tmp_path):
    blocked = tmp_path / "file"
    blocked.touch()
    assert build(device, blocked).compiles == 1


def test_a_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "taken"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(OSError):
        write_atomically(target, b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert isinstance(target, Path)
