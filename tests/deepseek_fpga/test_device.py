"""OpenCL devices as devices of the SDK: what they run, refuse, and keep."""

import os

import numpy as np
import pytest

from deepseek_core import (
    Artifact,
    LoadOptions,
    OpenOptions,
    Operation,
    Stage,
    Task,
    TensorSpec,
    errors,
)
from deepseek_fpga.device import BINARY_VARIABLE, open_matching_device, probe
from deepseek_fpga.opening import open_device
from deepseek_fpga.program_cache import ProgramCache
from deepseek_fpga.variants import default_variant, kernel_source

IDS = [info.id for info in probe() if info.status == "available"]
pytestmark = pytest.mark.skipif(not IDS, reason="no OpenCL device; pip install deepseek-fpga[pocl]")

DISTANCES = {"float32": "float32", "int8": "int32", "uint8": "int32"}


def stage(name="MatchL2", dtype="float32", width=24):
    inputs = [
        TensorSpec(name="query", dtype=dtype, shape=("batch", width)),
        TensorSpec(name="gallery", dtype=dtype, shape=("rows", width)),
        TensorSpec(name="k", dtype="int64", shape=(1,)),
    ]
    outputs = [
        TensorSpec(name="indices", dtype="int64", shape=("batch", "neighbors")),
        TensorSpec(name="distances", dtype=DISTANCES[dtype], shape=("batch", "neighbors")),
    ]
    operation = Operation(name=name, domain="ai.deepseek", inputs=inputs, outputs=outputs)
    return Stage(
        name="matching",
        kind="matching",
        operations=[operation],
        inputs=inputs,
        outputs=outputs,
        artifact=Artifact.from_bytes(b"", format="onnx"),
    )


def rows(count, dtype="float32", width=24, seed=0):
    rng = np.random.default_rng(seed)
    if dtype == "float32":
        return rng.random((count, width), dtype=np.float32)
    return rng.integers(0, 100, (count, width)).astype(dtype)


def exact(queries, gallery, k):
    d = ((queries[:, None].astype(np.float64) - gallery[None]) ** 2).sum(2)
    return np.argsort(d, axis=1, kind="stable")[:, :k]


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Kernels and tunings of all tests: some runtimes take seconds for each."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(params=IDS)
def device(request, cache):
    device = open_matching_device(request.param, OpenOptions(threads=1, cache_dir=cache))
    yield device
    device.close()


@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_a_fixed_gallery_is_packed_once(device, dtype):
    gallery, queries = rows(300, dtype), rows(7, dtype, seed=1)
    bound = stage(dtype=dtype).bind({"gallery": gallery, "k": np.array([3])})
    with_outputs = device.load(bound, LoadOptions())
    with_outputs.warmup(7)
    found = with_outputs.run({"query": queries})
    assert np.array_equal(found["indices"], exact(queries, gallery, 3))
    assert found["distances"].dtype == DISTANCES[dtype]


def test_a_gallery_may_come_with_each_run(device):
    loaded = device.load(stage(), LoadOptions())
    queries = rows(5, seed=1)
    for seed, k in ((2, 1), (2, 4), (3, 4)):
        gallery = rows(90, seed=seed)
        found = loaded.run({"query": queries, "gallery": gallery, "k": np.array([k])})
        assert np.array_equal(found["indices"], exact(queries, gallery, k))
    gallery[:] = rows(90, seed=4)
    found = loaded.run({"query": queries, "gallery": gallery, "k": np.array([4])})
    assert np.array_equal(found["indices"], exact(queries, gallery, 4)), "a stale gallery was used"


def test_hamming_counts_bits(device):
    gallery, queries = rows(64, "uint8"), rows(4, "uint8", seed=1)
    bound = stage("MatchHamming", "uint8").bind({"gallery": gallery, "k": np.array([2])})
    found = device.load(bound, LoadOptions()).run({"query": queries})
    bits = np.unpackbits(queries[:, None] ^ gallery[None], axis=2).sum(2)
    assert np.array_equal(found["indices"], np.argsort(bits, axis=1, kind="stable")[:, :2])


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Operation(name="Conv"), "MatchL2 and MatchHamming only"),
        (stage("MatchHamming", "float32").operations[0], "no kernel for float32"),
    ],
)
def test_it_refuses_what_it_has_no_kernel_for(device, operation, reason):
    support = device.supports(operation)
    assert not support
    assert reason in support.reason


def test_too_many_neighbors_are_refused(device):
    bound = stage().bind({"gallery": rows(40), "k": np.array([17])})
    with pytest.raises(errors.Unsupported, match="at most 16"):
        device.load(bound, LoadOptions())


def test_the_prior_grows_with_gallery_and_batch(device):
    small = stage().bind({"gallery": rows(100), "k": np.array([1])})
    large = stage().bind({"gallery": rows(10_000), "k": np.array([1])})
    one, many = (device.estimate(Task(stage=s, batch=8)).seconds for s in (small, large))
    assert one < many < device.estimate(Task(stage=large, batch=64)).seconds


def test_evidence_says_that_a_cpu_is_no_board(device):
    assert device.info.evidence in {"cpu-runtime", "emulator", "hardware"}
    if device.info.evidence != "hardware":
        assert device.info.uses_host_cores


def test_a_named_binary_is_loaded_and_nothing_compiled(device, tmp_path, monkeypatch):
    compiled = ProgramCache._compile

    def refuse(self, *arguments):
        assert "vendor" in str(self.folder), "it compiled although a binary was named"
        return compiled(self, *arguments)

    monkeypatch.setattr(ProgramCache, "_compile", refuse)
    record = open_device(device.info.id).record
    form = "channels" if "cl_intel_channels" in record.extensions else "single"
    variant = default_variant(record, "l2_f32", form)
    programs = ProgramCache(open_device(device.info.id), tmp_path / "vendor")
    binary = tmp_path / "board.aocx"
    binary.write_bytes(programs.build(kernel_source(), variant.options).binaries[0])
    monkeypatch.setenv(BINARY_VARIABLE, str(binary))
    gallery, queries = rows(50), rows(3, seed=1)
    bound = stage().bind({"gallery": gallery, "k": np.array([2])})
    loaded = device.load(bound, LoadOptions())
    found = loaded.run({"query": queries})
    assert np.array_equal(found["indices"], exact(queries, gallery, 2))


def test_an_unknown_device_is_named():
    with pytest.raises(errors.DeviceUnavailable, match="opencl:none:9"):
        open_matching_device("opencl:none:9", OpenOptions(threads=1, cache_dir=None))


def test_the_environment_is_as_it_was_once_it_is_open(tmp_path, monkeypatch):
    """Else the next session of the process would take all results of probes for outdated."""
    monkeypatch.delenv("POCL_MAX_PTHREAD_COUNT", raising=False)
    before = dict(os.environ)
    opened = open_matching_device(IDS[0], OpenOptions(threads=1, cache_dir=tmp_path))
    after = dict(os.environ)
    opened.close()
    assert after == before
