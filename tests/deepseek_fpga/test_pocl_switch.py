"""The patch of PoCL's private structure can be switched off, and doctor says how it stands."""

import ctypes
import os
import subprocess
import sys

import pytest

from deepseek_core import OpenOptions, Session, errors
from deepseek_fpga import pocl_target
from deepseek_fpga.device import open_matching_device, probe
from deepseek_fpga.doctor import check_pocl
from deepseek_fpga.platforms import list_devices

UNKNOWN = [
    record.id
    for record in list_devices().devices
    if pocl_target.is_unknown_cpu(record.platform_version, record.device_version)
]
GENERIC = [r.id for r in list_devices().devices if r.device_version.endswith("-generic")]
needs_unknown_cpu = pytest.mark.skipif(
    not UNKNOWN, reason="no PoCL 3.0 on a CPU that it does not know: nothing is to be patched"
)
OFF = {"pocl_patch": False}
BUILD = """
import sys
import pyopencl as cl
from deepseek_fpga.opening import OpenDevice
from deepseek_fpga.platforms import vendor_devices
from deepseek_fpga.pocl_target import ensure_known_cpu
for record, device in vendor_devices():
    if record.id == sys.argv[1]:
        if sys.argv[2] == "on":
            assert ensure_known_cpu(device, record.platform_version, record.device_version)
        cl.Program(cl.Context([device]), "__kernel void f(__global int *x) { *x = 1; }").build()
"""


def builds(device_id, patch):
    """Whether a process of its own, with the patch on or off, builds a kernel."""
    command = [sys.executable, "-c", BUILD, device_id, patch]
    environment = {"PYOPENCL_NO_CACHE": "1", "POCL_KERNEL_CACHE": "0"}
    done = subprocess.run(
        command, check=False, capture_output=True, timeout=120, env={**os.environ, **environment}
    )
    return done.returncode == 0


def options(folder, **settings):
    return OpenOptions(threads=1, cache_dir=folder, settings=settings)


@needs_unknown_cpu
def test_the_switch_decides_what_can_be_built():
    assert builds(UNKNOWN[0], "on")
    # One that is taken for an older one builds some kernels, and dies of others.
    if UNKNOWN[0] in GENERIC:
        assert not builds(UNKNOWN[0], "off"), "PoCL knows this CPU after all: is the patch needed?"


@needs_unknown_cpu
def test_off_means_unavailable_with_the_remedy():
    rows = {row.id: row for row in probe(OFF)}
    assert rows[UNKNOWN[0]].status == "unavailable"
    assert "pocl_patch is off" in rows[UNKNOWN[0]].reason
    assert "DEEPSEEK_FPGA_OPENCL_POCL_PATCH=true" in rows[UNKNOWN[0]].remedy
    assert {row.id: row for row in probe({})}[UNKNOWN[0]].status == "available"


@needs_unknown_cpu
def test_off_refuses_to_open_and_touches_nothing(tmp_path, monkeypatch):
    def refuse(*_):
        raise AssertionError("the structure was looked at")

    monkeypatch.setattr(pocl_target, "_replace_name", refuse)
    with pytest.raises(errors.DeviceUnavailable, match="pocl_patch is off"):
        open_matching_device(UNKNOWN[0], options(tmp_path, **OFF))


@needs_unknown_cpu
@pytest.mark.parametrize(
    ("settings", "status", "text"),
    [({}, "ok", "patched in memory, code is compiled for"), (OFF, "warn", "pocl_patch is off")],
)
def test_doctor_lists_the_patch(settings, status, text):
    (finding,) = [row for row in check_pocl(settings) if UNKNOWN[0] in row.text]
    assert finding.status == status
    assert text in finding.text
    assert "DEEPSEEK_FPGA_OPENCL_POCL_PATCH=" in finding.remedy


def test_a_structure_of_another_shape_is_no_patch():
    """The name that code is compiled for is claimed only where it was found or put."""
    empty = (ctypes.c_uint64 * 512)()

    class Device:
        int_ptr = ctypes.addressof(empty)

    unknown = ("OpenCL 3.0 PoCL 3.0-rc2", "OpenCL 3.0 pthread-generic")
    assert pocl_target.ensure_known_cpu(Device(), *unknown) is None
    assert not any(empty)


def test_a_setting_that_does_not_exist_is_named():
    with pytest.raises(errors.ConfigError, match="no setting 'pocl_path'"):
        Session(settings={"fpga_opencl": {"pocl_path": True}})
