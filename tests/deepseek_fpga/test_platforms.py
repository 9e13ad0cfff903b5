"""Devices are listed as facts, and what is missing is said with a remedy."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from deepseek_core import errors
from deepseek_fpga import platforms, pocl_target
from deepseek_fpga import vendor_errors as translation
from deepseek_fpga.device import probe
from deepseek_fpga.opening import open_device
from deepseek_fpga.platforms import judge_evidence, list_devices, platform_slug

cl = pytest.importorskip("pyopencl")
DEVICES = list_devices().devices


def vendor_error(kind, code):
    """An error as pyopencl itself makes it."""
    return kind(cl._cl._ErrorRecord("clSomething", code, ""))


def test_ids_are_unique_ordered_and_stable():
    ids = [record.id for record in DEVICES]
    assert ids == sorted(set(ids))
    assert ids == [record.id for record in list_devices().devices]


@pytest.mark.parametrize("record", DEVICES, ids=lambda record: record.id)
def test_a_record_tells_what_the_device_is(record):
    assert record.name
    assert record.platform
    assert record.driver_version
    assert record.compute_units >= 1
    assert record.mem_bytes > 0
    assert record.is_board == (record.description == "accelerator board")
    assert record.extensions <= set(platforms._EXTENSIONS)


@pytest.mark.parametrize(
    ("platform", "device_type", "evidence"),
    [
        ("Portable Computing Language", "cpu", "cpu-runtime"),
        ("Intel(R) FPGA Emulation Platform for OpenCL(TM)", "accelerator", "emulator"),
        ("Intel(R) FPGA SDK for OpenCL(TM)", "accelerator", "hardware"),
        ("NVIDIA CUDA", "gpu", "hardware"),
    ],
)
def test_evidence_follows_from_facts(platform, device_type, evidence, monkeypatch):
    monkeypatch.delenv("XCL_EMULATION_MODE", raising=False)
    assert judge_evidence(platform, device_type) == evidence


def test_a_board_in_emulation_mode_is_no_board(monkeypatch):
    monkeypatch.setenv("XCL_EMULATION_MODE", "hw_emu")
    assert judge_evidence("Xilinx", "accelerator") == "emulator"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("Portable Computing Language", "pocl"),
        ("Intel(R) FPGA Emulation Platform for OpenCL(TM)", "intel-fpga-emulator"),
        ("Intel(R) FPGA SDK for OpenCL(TM)", "intel-fpga"),
        ("Xilinx", "xilinx"),
        ("Clover (new) 2", "clover-new-2"),
        ("()", "unknown"),
    ],
)
def test_slugs_are_short(name, slug):
    assert platform_slug(name) == slug


def test_no_platform_is_a_reason_with_a_remedy(monkeypatch):
    def none():
        raise vendor_error(cl.LogicError, -1001)

    monkeypatch.setattr(cl, "get_platforms", none)
    listing = list_devices()
    assert listing.devices == ()
    assert listing.reason == platforms.NO_PLATFORM
    assert "plugins/fpga_opencl[pocl]" in str(listing.remedy)


@pytest.mark.skipif(not DEVICES, reason=str(list_devices().remedy))
def test_a_dead_driver_takes_no_other_device_along(monkeypatch):
    """A board's driver without its kernel module says that there is no host memory."""

    def fails():
        raise vendor_error(cl.RuntimeError, -6)

    board = SimpleNamespace(name="Altera SDK for OpenCL", version="OpenCL 1.0", get_devices=fails)
    there = cl.get_platforms()
    monkeypatch.setattr(cl, "get_platforms", lambda: [board, *there])
    rows = {row.id: row for row in probe()}
    assert [record.id for record in list_devices().devices] == [record.id for record in DEVICES]
    dead = rows.pop("opencl:altera-sdk-for-opencl:0")
    assert list(rows) == [record.id for record in DEVICES]
    assert dead.status == "unavailable"
    assert (
        dead.reason
        == "the driver of Altera SDK for OpenCL fails: clSomething failed: OUT_OF_HOST_MEMORY"
    )
    assert dead.remedy.startswith("aocl diagnose (")
    monkeypatch.setattr(cl, "get_platforms", lambda: [board])
    assert [row.id for row in probe()] == [dead.id]
    assert list_devices().reason == dead.reason


def test_no_pyopencl_is_a_reason_with_a_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyopencl", None)
    listing = list_devices()
    assert listing.devices == ()
    assert listing.reason == translation.NO_PYOPENCL
    assert "plugins/fpga_opencl[pocl]" in str(listing.remedy)
    with pytest.raises(errors.DeviceUnavailable, match="not installed"):
        open_device("opencl:pocl:0")


def test_listing_imports_without_pyopencl_and_numpy():
    code = (
        "import sys, deepseek_fpga, deepseek_fpga.platforms, deepseek_fpga.variants;"
        "print({'pyopencl', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_device_that_is_not_there_names_those_that_are():
    with pytest.raises(errors.DeviceUnavailable) as caught:
        open_device("opencl:nowhere:0")
    assert all(record.id in str(caught.value) for record in DEVICES)


@pytest.mark.skipif(not DEVICES, reason=str(list_devices().remedy))
def test_a_closed_device_says_so():
    opened = open_device(DEVICES[0].id)
    opened.close()
    opened.close()
    with pytest.raises(errors.DeviceClosed, match="closed"):
        opened.make_queue()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (-4, errors.OutOfMemory),
        (-5, errors.OutOfMemory),
        (-2, errors.DeviceUnavailable),
        (-11, errors.CompileError),
        (-36, errors.DeviceLost),
    ],
)
def test_vendor_errors_become_ours(code, kind):
    with pytest.raises(kind) as caught, translation.translated("opencl:x:0"):
        raise vendor_error(cl.RuntimeError, code)
    assert caught.value.device_id == "opencl:x:0"
    assert isinstance(caught.value.__cause__, cl.Error)


def test_other_errors_pass():
    with pytest.raises(ZeroDivisionError), translation.translated("opencl:x:0"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("flags", "target"),
    [
        (pocl_target._ICE_LAKE, "icelake-server"),
        (pocl_target._ICE_LAKE - {"avx512_bitalg"}, "cascadelake"),
        (pocl_target._AVX512, "skylake-avx512"),
        (pocl_target._AVX2 | {"sse2"}, "haswell"),
        (frozenset({"sse2"}), "x86-64"),
        (frozenset(), "x86-64"),
    ],
)
def test_the_target_has_no_instruction_that_the_cpu_lacks(flags, target):
    assert pocl_target.best_target(frozenset(flags)) == target


def test_only_the_version_that_fails_is_touched():
    unknown = "OpenCL 3.0 PoCL HSTR: pthread-x86_64-unknown-linux-gnu-generic"
    known = unknown.replace("generic", "haswell")
    assert pocl_target.is_unknown_cpu("OpenCL 3.0 PoCL 3.0-rc2  Linux", unknown)
    assert not pocl_target.is_unknown_cpu("OpenCL 3.0 PoCL 3.0-rc2  Linux", known)
    assert not pocl_target.is_unknown_cpu("OpenCL 3.0 PoCL 7.0  Linux", unknown)
