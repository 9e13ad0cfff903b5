"""Matching on the fake driver: equal to numpy, by graphs once a batch comes again, never racing."""

import sys

import attrs
import fake_gpu
import numpy as np
import pytest
from fake_cuda import FakeCuda, Misuse

from deepseek_core import LoadOptions, Operation, TensorSpec, errors
from deepseek_cuda.conformance import matching_case
from deepseek_cuda.driver.api import CudaFault
from deepseek_cuda.driver.graphs import GraphCache
from deepseek_cuda.matching.program import Target, program

KINDS = [("MatchL2", "float32"), ("MatchL2", "int8"), ("MatchHamming", "uint8")]


@pytest.fixture
def device(tmp_path):
    device = fake_gpu.make_device(tmp_path)
    yield device
    device.close()


@pytest.mark.parametrize("items", [1, 16, 17, 40])
@pytest.mark.parametrize("kind", KINDS, ids="-".join)
def test_answers_equal_numpy_however_often_they_are_asked_for(device, kind, items):
    case = matching_case(*kind, items=items, k=16)
    executable = device.load(case.stage, LoadOptions())
    for _ in range(6):
        case.check(executable.run(case.inputs))


def test_a_batch_that_comes_again_is_one_graph(device):
    case = matching_case(*KINDS[0])
    executable = device.load(case.stage, LoadOptions())
    for _ in range(9):
        case.check(executable.run(case.inputs))
    launches = device.fake.launches
    assert launches.count("eager") <= 2 * 3 and launches[-3:] == ["graph"] * 3


def test_what_can_not_be_captured_runs_as_it_is(tmp_path):
    fake = FakeCuda()
    fake.refuses_capture = True
    device = fake_gpu.make_device(tmp_path, fake)
    case = matching_case(*KINDS[0])
    executable = device.load(case.stage, LoadOptions())
    for _ in range(6):
        case.check(executable.run(case.inputs))
    assert set(fake.launches) == {"eager"}
    device.close()


def test_a_launch_that_fails_under_capture_ends_it():
    fake = FakeCuda()
    fake.use()
    stream = fake.create_stream()
    graphs = GraphCache(fake, stream)
    runs = []

    def launch():
        runs.append(bool(fake.noted))
        if fake.noted:
            raise CudaFault("launch", 901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED")

    for _ in range(4):
        graphs.run("key", launch)
    assert runs == [False, True, False, False, False], "captured once, launched each time"
    assert not fake.noted and not fake.graphs


def test_a_full_cache_launches_what_is_new():
    fake = FakeCuda()
    fake.use()
    graphs = GraphCache(fake, fake.create_stream())
    runs = []
    for _ in range(3):
        for key in range(200):
            graphs.run(key, lambda: runs.append(1))
    assert len(fake.graphs) == 64
    graphs.close()
    assert not fake.graphs


def test_an_allocation_under_capture_is_detected():
    fake = FakeCuda()
    fake.use()
    graphs = GraphCache(fake, fake.create_stream())
    graphs.run("key", lambda: None)
    with pytest.raises(Misuse, match="alloc under capture"):
        graphs.run("key", lambda: fake.alloc(10))


def test_a_graph_for_other_addresses_would_be_detected(device, monkeypatch):
    """All that a launch depends on is part of the key: without it an old batch would run again."""
    run = GraphCache.run
    monkeypatch.setattr(GraphCache, "run", lambda self, key, launch: run(self, "same", launch))
    case = matching_case(*KINDS[0], items=64)
    executable = device.load(case.stage, LoadOptions())
    with pytest.raises((Misuse, AssertionError)):
        for items in (5, 5, 5, 64):
            fewer = {"query": case.inputs["query"][:items]}
            made = executable.run(fewer)
            np.testing.assert_array_equal(made["indices"], case.expected["indices"][:items])


def test_memory_that_runs_out_halves_the_batch(tmp_path):
    case = matching_case(*KINDS[0], items=3000, k=16)
    device = fake_gpu.make_device(tmp_path, FakeCuda(capacity=1 << 20))
    case.check(device.load(case.stage, LoadOptions()).run(case.inputs))
    device.close()


def test_an_unbound_gallery_and_too_many_neighbors_are_refused(device):
    stage = matching_case(*KINDS[0]).stage
    loose = attrs.evolve(stage, constants={})
    with pytest.raises(errors.Unsupported, match="constants for gallery and k"):
        device.load(loose, LoadOptions())
    many = attrs.evolve(stage, constants={**stage.constants, "k": np.array([17])})
    with pytest.raises(errors.Unsupported, match="at most 16 neighbors"):
        device.load(many, LoadOptions())
    none = attrs.evolve(stage, constants={**stage.constants, "k": np.array([0])})
    with pytest.raises(errors.TensorMismatch, match="k is one number, 1 or more"):
        device.load(none, LoadOptions())


def test_without_a_compiler_matching_is_refused_in_words(device, monkeypatch):
    operation = matching_case(*KINDS[0]).stage.operations[0]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert device.supports(operation).reason == (
        "its matcher is compiled with Triton, which is not installed"
    )
    other = TensorSpec(name="x", dtype="float64", shape=(1, 2))
    unknown = Operation(name="MatchL2", domain="ai.deepseek", inputs=[other] * 3)
    assert device.supports(unknown).reason == "no matcher for float64"


def test_packed_bits_are_compared_by_words_where_they_fill_some(device):
    device.load(matching_case(*KINDS[2]).stage, LoadOptions())
    assert {told["metric"] for told in device.fake.modules.values()} == {"hamming_u32"}


def test_no_compiler_is_a_refusal_with_a_remedy(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton", None)
    target = Target(device_id="cuda:0", capability=(9, 0), folder=tmp_path)
    with pytest.raises(errors.Unsupported, match="which is not installed") as caught:
        program("l2_f32", 2, target)
    assert caught.value.remedy == "pip install triton"


def test_what_does_not_compile_is_an_error_with_the_compilers_words(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("ptxas: no such architecture")

    monkeypatch.setattr("deepseek_cuda.matching.program.compiled", fail)
    target = Target(device_id="cuda:0", capability=(19, 0), folder=tmp_path)
    with pytest.raises(errors.CompileError, match="no such architecture") as caught:
        program("l2_f32", 2, target)
    assert caught.value.log == "ptxas: no such architecture"
