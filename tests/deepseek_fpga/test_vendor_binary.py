"""A binary that is damaged, another device's, or not the one on the board: a named error each."""

from __future__ import annotations

import json
import time
from types import SimpleNamespace

import attrs
import numpy as np
import pytest

from deepseek_core import LoadOptions, OpenOptions, errors
from deepseek_fpga import conformance, vendor_binary
from deepseek_fpga.binary_kind import kind_of
from deepseek_fpga.device import BINARY_VARIABLE, open_matching_device
from deepseek_fpga.manifest import path_of, read_manifest, write_manifest
from deepseek_fpga.opening import open_device
from deepseek_fpga.platforms import list_devices
from deepseek_fpga.program_cache import ProgramCache
from deepseek_fpga.variants import Variant, kernel_source
from deepseek_fpga.vendor_binary import checked_binary, refusal

DEVICES = [record.id for record in list_devices().devices]
needs_device = pytest.mark.skipif(not DEVICES, reason=str(list_devices().remedy))
SMALL = Variant(metric="hamming", words="bits", rows=2, vecs=1)


@pytest.fixture(scope="module", params=DEVICES)
def device(request):
    opened = open_device(request.param)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def built(device, tmp_path_factory):
    """A binary of this device's own compiler."""
    programs = ProgramCache(device, tmp_path_factory.mktemp("built"))
    content = bytes(programs.build(kernel_source(), SMALL.options).binaries[0])
    return programs, content


def load(device, folder, content):
    path = folder / "board.aocx"
    path.write_bytes(content)
    return ProgramCache(device, folder / "cache").load_binary(path)


@needs_device
@pytest.mark.parametrize("share", [0.3, 0.5])
def test_half_a_binary_is_an_error_and_ends_no_process(device, built, tmp_path, share):
    """PoCL dies of one by a segmentation fault, which would take the user's program along."""
    content = built[1][: int(len(built[1]) * share)]
    with pytest.raises((errors.ArtifactError, errors.CompileError)) as caught:
        load(device, tmp_path, content)
    assert "board.aocx" in caught.value.message
    assert "damaged" in caught.value.message
    assert "ds-sdk fpga build" in caught.value.remedy


@needs_device
def test_garbage_is_refused_with_the_remedy(device, tmp_path):
    with pytest.raises(errors.CompileError, match="damaged, or was built for another") as caught:
        load(device, tmp_path, b"garbage" * 100)
    assert caught.value.device_id == device.id
    assert "ds-sdk fpga build" in caught.value.remedy


def xclbin(length, platform=b"xilinx_u250_gen3x16_xdma_4_1"):
    """The header of one, of the length that it says it has."""
    head = b"xclbin2\0".ljust(304, b"\xff") + length.to_bytes(8, "little")
    return head.ljust(352, b"\0") + platform.ljust(64, b"\0")


@needs_device
@pytest.mark.parametrize(
    ("content", "words", "remedy"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 48193211\n",
            "is a pointer of Git LFS", "git lfs pull",
        ),
        (xclbin(48_193_211), "is cut short: 416 of 48193211 bytes", "copy it again"),
        (xclbin(416)[:100], "is cut short: 100 of 416 bytes", "copy it again"),
    ],
)  # fmt: skip
def test_a_file_that_did_not_arrive_whole_is_told_before_a_driver_gets_it(
    device, tmp_path, content, words, remedy, monkeypatch
):
    monkeypatch.setattr(vendor_binary, "_try", lambda *_: pytest.fail("no driver gets it"))
    with pytest.raises(errors.ArtifactError) as caught:
        load(device, tmp_path, content)
    assert words in caught.value.message
    assert caught.value.remedy.startswith(remedy)


@needs_device
def test_a_foreign_file_is_named_where_a_driver_refuses_it(device, tmp_path):
    with pytest.raises(errors.CompileError, match="damaged, or was built for another") as caught:
        load(device, tmp_path, xclbin(416))
    assert "; the file is an xclbin for xilinx_u250_gen3x16_xdma_4_1)" in caught.value.message


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x03\x02\x23\x07", "SPIR-V"),
        (b"<!DOCTYPE html>", "a page or XML"),
        (b"\x7fELF", "an ELF file"),
        (b"garbage", ""),
    ],
)
def test_first_bytes_tell_what_a_file_is(start, kind):
    assert kind_of(start + bytes(99)) == kind


@needs_device
def test_a_whole_binary_is_tried_once(device, built, tmp_path, monkeypatch):
    tried = []
    real = vendor_binary._try
    monkeypatch.setattr(vendor_binary, "_try", lambda *a: (tried.append(a), real(*a)))
    for _ in range(2):
        program = load(device, tmp_path, built[1])
    assert "match" in {kernel.function_name for kernel in program.all_kernels()}
    assert len(tried) == 1


@needs_device
def test_a_manifest_sees_one_flipped_bit(device, built, tmp_path, monkeypatch):
    monkeypatch.setattr(vendor_binary, "_try", lambda *_: pytest.fail("a manifest vouches for it"))
    path = tmp_path / "board.aocx"
    path.write_bytes(built[1])
    write_manifest(path, variant=SMALL, target="aoc", board="b", tool="t")
    assert checked_binary(device, tmp_path, path) == built[1]
    path.write_bytes(built[1][:-1] + bytes([built[1][-1] ^ 1]))
    with pytest.raises(errors.ArtifactError, match="checksum is not that of"):
        checked_binary(device, tmp_path, path)


@needs_device
def test_a_driver_that_hangs_is_left_in_time(device, built, tmp_path, monkeypatch):
    hanging = tmp_path / "python"
    hanging.write_text("#!/bin/sh\nsleep 600\n")
    hanging.chmod(0o755)
    monkeypatch.setattr(vendor_binary.sys, "executable", str(hanging))
    monkeypatch.setattr(vendor_binary, "TRIAL_S", 1.0)
    start_s = time.monotonic()
    with pytest.raises(errors.DeviceTimeout, match="did not load the binary"):
        load(device, tmp_path, built[1])
    assert time.monotonic() - start_s < 20


def board(**more):
    """An open device that says it is a board; no board was at hand."""
    record = attrs.evolve(RECORD, id="opencl:intel-fpga:0", type="accelerator", evidence="hardware")
    return SimpleNamespace(record=record, id=record.id, fingerprint="f", programmed=None, **more)


RECORD = list_devices().devices[0] if DEVICES else None


@needs_device
@pytest.mark.parametrize(
    "reason",
    [
        "clCreateProgramWithBinary failed: DEVICE_NOT_AVAILABLE",
        "clCreateProgramWithBinary failed: OUT_OF_RESOURCES",
        "Failed to load xclbin: Device or resource busy",
    ],
)
def test_a_board_that_is_held_is_told_from_a_binary_that_does_not_fit(reason, tmp_path):
    held = refusal(board(), tmp_path / "a.aocx", reason)
    assert isinstance(held, errors.DeviceUnavailable)
    assert "programmed with another binary" in held.message
    assert "aocl program" in held.remedy
    assert "xrt-smi" in held.remedy
    other = refusal(board(), tmp_path / "a.aocx", "INVALID_BINARY")
    assert isinstance(other, errors.CompileError)


@needs_device
def test_a_second_binary_on_one_board_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(vendor_binary, "_try", lambda *_: None)
    device = board()
    first, second = tmp_path / "a.aocx", tmp_path / "b.aocx"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    assert checked_binary(device, tmp_path, first) == b"one"
    assert checked_binary(device, tmp_path, first) == b"one"
    with pytest.raises(
        errors.DeviceUnavailable, match=r"programmed with another binary, .*a\.aocx"
    ):
        checked_binary(device, tmp_path, second)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9}', '{"format": 1, "variant": 3}'])
def test_a_damaged_manifest_is_named(text, tmp_path):
    path = tmp_path / "a.aocx"
    path_of(path).write_text(text)
    with pytest.raises(errors.ArtifactError, match=r"a\.aocx\.json"):
        read_manifest(path)


@needs_device
def test_a_manifest_says_which_kernel_it_is(tmp_path, monkeypatch):
    """Of another metric its numbers would be wrong, and nobody would see it."""
    device = open_matching_device(DEVICES[0], OpenOptions(threads=1, cache_dir=tmp_path))
    path = tmp_path / "a.clbin"
    path.write_bytes(b"x")
    write_manifest(path, variant=SMALL, target="emulator", board="", tool="t")
    monkeypatch.setenv(BINARY_VARIABLE, str(path))
    emulated = attrs.evolve(device._opened.record, evidence="emulator")
    monkeypatch.setattr(device._opened, "record", emulated)
    floats = conformance.TestOpenCl().cases()[0]
    with pytest.raises(errors.ArtifactError, match="computes hamming, and l2_f32 is asked"):
        device.load(floats.stage, LoadOptions())


@needs_device
def test_a_board_s_binary_is_nothing_to_a_runtime_on_the_cpu(tmp_path, monkeypatch):
    device = open_matching_device(DEVICES[0], OpenOptions(threads=1, cache_dir=tmp_path))
    if device.info.evidence != "cpu-runtime":
        pytest.skip("the first device is no runtime on the CPU")
    path = tmp_path / "a.aocx"
    path.write_bytes(b"x")
    write_manifest(path, variant=SMALL, target="aoc", board="b", tool="t")
    monkeypatch.setenv(BINARY_VARIABLE, str(path))
    case = conformance.TestOpenCl().cases()[1]
    found = device.load(case.stage, LoadOptions()).run(case.inputs)
    assert np.array_equal(found["indices"], case.expected["indices"])
    assert json.loads(path_of(path).read_text())["target"] == "aoc"
