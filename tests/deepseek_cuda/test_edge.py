"""The real edge, ctypes over libcuda.so.1, on a library of the tests' own."""

import json
import shutil
import threading

import machines
import numpy as np
import pytest

from deepseek_core import errors
from deepseek_cuda.driver._edge import Driver
from deepseek_cuda.driver.api import CudaFault, Launch
from deepseek_cuda.driver.faults import await_event, from_fault, translated

BUS = "0000:07:00.0"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cuda")
    return str(machines.compiled(machines.HERE / "fake_cuda.c", folder / "libcuda.so.1"))


def test_bytes_go_through_the_device_and_nothing_is_left(library):
    driver = Driver(BUS, library)
    assert driver.ordinal == 3
    stream, event = driver.create_stream(), driver.create_event()
    device, there, back = driver.alloc(1000), driver.alloc_pinned(1000), driver.alloc_pinned(1000)
    given = np.arange(1000, dtype=np.uint8)
    driver.fill_pinned(there, given)
    driver.copy_in(device, there, 1000, stream)
    driver.record(event, stream)
    driver.wait(stream, event)
    driver.copy_out(back, device, 1000, stream)
    await_event(driver, event, "cuda:0", 5.0)  # not ready twice, as the library has it
    made = np.zeros(1000, np.uint8)
    driver.read_pinned(back, made)
    np.testing.assert_array_equal(made, given)
    assert driver.mem_info() == (5 << 32, 6 << 32), "sizes above 4 GiB pass whole"
    for free, what in (
        (driver.free, device), (driver.free_pinned, there), (driver.free_pinned, back),
        (driver.destroy_event, event), (driver.destroy_stream, stream),
    ):  # fmt: skip
        free(what)
    assert driver._lib.fake_open() == 0
    driver.close()
    driver.close()
    assert driver._lib.fake_contexts() == 0


def test_a_thread_needs_the_context(library):
    driver = Driver(BUS, library)
    faults = []

    def call(use):
        if use:
            driver.use()
        try:
            driver.mem_info()
        except CudaFault as fault:
            faults.append(fault.name)

    for use in (False, True):
        thread = threading.Thread(target=call, args=(use,))
        thread.start()
        thread.join(10)
    assert faults == ["CUDA_ERROR_INVALID_CONTEXT"]
    driver.close()


def test_what_the_driver_refuses_has_its_name(library):
    driver = Driver(None, library)
    assert driver.ordinal == 0
    told = "cuMemAlloc_v2: CUDA_ERROR_OUT_OF_MEMORY"
    with pytest.raises(errors.OutOfMemory, match=told), translated("cuda:0"):
        driver.alloc(1 << 34)
    driver.close()
    told = "cuDeviceGetByPCIBusId"
    with pytest.raises(errors.DeviceUnavailable, match=told), translated("cuda:0"):
        Driver("0000:99:00.0", library)


@pytest.mark.parametrize(
    ("name", "kind", "remedy"),
    [
        ("CUDA_ERROR_OUT_OF_MEMORY", errors.OutOfMemory, "smaller batch"),
        ("CUDA_ERROR_NO_DEVICE", errors.DeviceUnavailable, "ds-sdk doctor"),
        ("CUDA_ERROR_ILLEGAL_ADDRESS", errors.DeviceLost, "start the process again"),
        ("CUDA_ERROR_UNKNOWN", errors.DeviceLost, "reboot"),
    ],
)
def test_each_fault_is_an_error_of_the_sdk_with_a_remedy(name, kind, remedy):
    error = from_fault(CudaFault("cuX", 1, name), "cuda:0")
    assert type(error) is kind
    assert error.device_id == "cuda:0" and remedy in error.remedy


def test_the_edge_is_thin():
    """Nothing to decide: 150 lines at most, and no branch but those of errors."""
    source = (
        machines.HERE.parents[1] / "plugins/gpu_cuda/src/deepseek_cuda/driver/_edge.py"
    ).read_text()
    assert len(source.splitlines()) < 150
    assert sum(line.strip().startswith("if ") for line in source.splitlines()) <= 4


ONE = machines.described([machines.A100])
OPEN = """
import os, sys, json
from pathlib import Path
from deepseek_core import OpenOptions, errors
from deepseek_cuda.opening import open_device
try:
    device = open_device(sys.argv[1], OpenOptions(threads=1, cache_dir=Path(".")))
    print(json.dumps([device.info.id, device.telemetry()["temperature_c"], device._api.ordinal]))
    device.close(); device.close()
except errors.DeviceUnavailable as error:
    print(json.dumps([error.message, error.remedy]))
"""


@pytest.fixture
def opened(tmp_path, library, build):
    """What opening a device says, in a process on a machine with both fake libraries."""

    def ask(device_id, text=ONE, **variables):
        folder = tmp_path / "both"
        if not folder.exists():
            machines.make_library(folder)
            shutil.copy(library, folder)
        environment = machines.environment(
            tmp_path, folder, build, text, **{"FAKE_CUDA_UUID": UUID} | variables
        )
        return json.loads(machines.run(environment, "-c", OPEN, device_id).splitlines()[-1])

    return ask


UUID = machines.A100["uuid"].removeprefix("GPU-").replace("-", "")


def test_a_gpu_is_opened_by_its_place_on_the_bus(opened):
    assert opened("cuda:0") == ["cuda:0", 41, 3]


def test_a_divided_gpu_is_opened_as_the_only_device(opened):
    instance = {"name": "MIG", "uuid": f"MIG-{UUID}", "gi": 5, "mem": machines.GIB}
    text = machines.described([{**machines.A100, "mig": 1, "instances": [instance]}])
    assert opened("cuda:0:5:0", text) == ["cuda:0:5:0", None, 0]


def test_another_device_than_the_one_asked_for_is_refused(opened):
    message, remedy = opened("cuda:0", FAKE_CUDA_UUID="0" * 32)
    assert "CUDA opened another device" in message
    assert remedy == f"export CUDA_VISIBLE_DEVICES={machines.A100['uuid']}"


def test_the_gpu_of_a_jetson_is_on_no_bus_and_has_two_names(opened):
    text = machines.described([{**machines.ORIN, "temperature": 50}])
    assert opened("cuda:0", text, FAKE_CUDA_UUID="0" * 32) == ["cuda:0", 50, 0]


def test_what_is_not_there_or_can_not_be_used_is_refused_with_the_probes_reason(opened):
    assert opened("cuda:7") == ["there is no GPU 'cuda:7' (present: cuda:0)", "ds-sdk devices"]
    lost = machines.described([{**machines.A100, "lost": machines.LOST}])
    message, remedy = opened("cuda:0", lost)
    assert "fell off the bus" in message and remedy.startswith("reboot")
    message, _ = opened("cuda:0", FAKE_CUDA_INIT="100")
    assert "CUDA_ERROR_NO_DEVICE" in message


def test_kernels_are_launched_with_their_arguments_and_captured(library):
    """The library's kernel adds its 32-bit numbers into the bytes at its address."""
    driver = Driver(BUS, library)
    stream, module = driver.create_stream(), driver.load_module(b"cubin")
    function = driver.function(module, "add")
    block = driver.alloc_pinned(16)
    driver.fill_pinned(block, np.zeros(16, np.uint8))
    shape = Launch((3, 2), 128, 64)
    launch = (function, shape, [block, block + 8], [5, -2], stream)
    driver.launch(*launch)
    assert total(driver, block) == [3 * 2 * 128 + 64, 5 - 2]
    driver.begin_capture(stream)
    driver.launch(*launch)
    graph = driver.end_capture(stream)
    assert total(driver, block)[1] == 3, "it was noted, not run"
    driver.launch_graph(graph, stream)
    assert total(driver, block)[1] == 6
    driver.destroy_graph(graph)
    driver.unload_module(module)
    driver.free_pinned(block)
    driver.destroy_stream(stream)
    assert driver._lib.fake_open() == 0
    with pytest.raises(CudaFault, match="cuModuleGetFunction"):
        driver.function(driver.load_module(b"cubin"), "subtract")
    driver.close()


def total(driver, block):
    made = np.zeros(16, np.uint8)
    driver.read_pinned(block, made)
    return made.view(np.int64).tolist()
