"""What a GPU computes, on the fake driver and, with `pytest -m cuda`, on a real one."""

import gc

import fake_sessions
import numpy as np
import pytest

from deepseek_core import LoadOptions, Support, Task, errors
from deepseek_cuda.conformance import layer, layer_case, matching_case
from deepseek_cuda.conformance_files import program
from deepseek_cuda.driver.tensors import Kept
from deepseek_cuda.torch_programs.frontend import ProgramFrontend

KINDS = [("MatchL2", "float32"), ("MatchL2", "int8"), ("MatchHamming", "uint8")]
X = (np.arange(20, dtype=np.float32).reshape(5, 4) % 7) - 3


@pytest.mark.parametrize("items", [1, 3, 1000, 3 << 20])
def test_a_model_is_exact_whatever_the_batch(gpu, items):
    """The largest goes in pieces that overlap."""
    case = layer_case(items)
    executable = gpu.load(layer(), LoadOptions())
    for _ in range(3):
        case.check(executable.run(case.inputs))


@pytest.mark.parametrize("items", [1, 16, 17, 300])
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_matching_equals_numpy_by_kernel_and_by_graph(gpu, kind, items):
    """The first run of a batch is launched, the second captured, later ones replayed."""
    case = matching_case(*kind, items=items, k=5)
    try:
        executable = gpu.load(case.stage, LoadOptions())
    except errors.Unsupported as error:
        pytest.skip(str(error))
    for _ in range(6):
        case.check(executable.run(case.inputs))


def test_tensors_stay_between_stages_and_come_back_whole(gpu):
    first, second, third = (gpu.load(s, LoadOptions()) for s in fake_sessions.chain().stages)
    for number in range(4):
        y = first.run_kept({"x": X + number}, frozenset({"y"}))["y"]
        z = second.run_kept({"y": y}, frozenset({"z"}))["z"]
        assert isinstance(y, Kept) and isinstance(z, Kept)
        right = np.maximum(np.maximum(X + number + 1, 0) - 2, 0)
        np.testing.assert_array_equal(gpu.to_host(z), right)
        np.testing.assert_array_equal(third.run({"z": z})["w"], np.maximum(right + 3, 0))


def test_a_program_of_torch_runs(gpu):
    (stage,) = ProgramFrontend().read(_artifact(), lambda op: {"cuda:0": Support.yes()}).stages
    try:
        executable = gpu.load(stage, LoadOptions())
    except errors.Unsupported as error:
        pytest.skip(str(error))
    for items in (1, 5, 300):
        x = np.arange(4 * items, dtype=np.float32).reshape(items, 4) - 7
        np.testing.assert_array_equal(executable.run({"x": x})["y"], np.maximum(x, 0))


def _artifact():
    from deepseek_core import Artifact

    return Artifact.from_bytes(program(), format="pt2")


def test_memory_comes_back_when_stages_are_closed(gpu):
    case = layer_case(1 << 16)

    def once():
        executable = gpu.load(layer(), LoadOptions())
        case.check(executable.run(case.inputs))
        executable.close()
        del executable
        gc.collect()

    once()
    gpu._api.use()
    free, total = gpu._api.mem_info()
    for _ in range(10):
        once()
    gpu._api.use()
    left, _ = gpu._api.mem_info()
    assert free - left < max(64 << 20, total // 100), "others may use the GPU meanwhile, but little"


def test_events_order_what_streams_do(gpu):
    """What one stream copied is read by another after an event, and is never stale."""
    api = gpu._api
    api.use()
    streams = [api.create_stream() for _ in range(2)]
    event, done = api.create_event(), api.create_event()
    nbytes = 1 << 16
    device, there, back = api.alloc(nbytes), api.alloc_pinned(nbytes), api.alloc_pinned(nbytes)
    given, made = np.empty(nbytes, np.uint8), np.empty(nbytes, np.uint8)
    for number in range(50):
        given[:] = number
        api.fill_pinned(there, given)
        api.copy_in(device, there, nbytes, streams[0])
        api.record(event, streams[0])
        api.wait(streams[1], event)
        api.copy_out(back, device, nbytes, streams[1])
        api.record(done, streams[1])
        while not api.is_done(done):
            api.pause(1e-5)
        api.read_pinned(back, made)
        assert (made == number).all()
    for free, what in ((api.free, device), (api.free_pinned, there), (api.free_pinned, back)):
        free(what)
    for each in (event, done):
        api.destroy_event(each)
    for stream in streams:
        api.destroy_stream(stream)


def test_an_estimate_and_readings_are_numbers(gpu):
    assert gpu.estimate(Task(stage=layer(), batch=8)).seconds > 0
    for value in gpu.telemetry().values():
        assert value is None or value >= 0


def test_a_closed_device_says_so(gpu):
    gpu.close()
    with pytest.raises(errors.DeviceClosed):
        gpu.load(layer(), LoadOptions())
