"""The benchmark of a GPU: not run where there is none; its parts on the fake driver."""

import importlib.util
import json
import os
import subprocess
import sys

import fake_gpu
import machines
import numpy as np
import pytest

from deepseek_cuda.probe import survey

ROOT = machines.HERE.parents[1]
SCRIPT = ROOT / "benchmarks/cuda.py"
# Not by its name, which is also that of NVIDIA's bindings.
spec = importlib.util.spec_from_file_location("benchmark_of_a_gpu", SCRIPT)
benchmark = sys.modules["benchmark_of_a_gpu"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(benchmark)


@pytest.mark.skipif(
    any(row.status == "available" for row in survey().rows), reason="here is a GPU that it runs on"
)
def test_without_a_gpu_it_says_why_and_writes_rows_as_not_run(tmp_path):
    file = tmp_path / "cuda.json"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", str(file)],
        capture_output=True, text=True, timeout=120, check=False, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    reason = survey().rows[0].reason
    assert f"no GPU that can be used: {reason}" in done.stdout
    rows = json.loads(file.read_text())["rows"]
    assert {row["claim"] for row in rows} == set(benchmark.BARS)
    assert all(row["figure"] is None and row["holds"] is None for row in rows)
    assert all(row["not_run"] == "no GPU" for row in rows)


def test_the_pipeline_is_timed_by_the_devices_own_clock(tmp_path):
    """On the simulated clock, which counts copies and kernels and no Python."""
    device = fake_gpu.make_device(tmp_path)
    ratio = benchmark.overlap(device, 1 << 15, benchmark.FEATURES, clock=device.fake.now_s)
    assert ratio > 1.3
    device.close()


def test_the_matcher_that_is_timed_is_right(tmp_path):
    device = fake_gpu.make_device(tmp_path)
    rng = np.random.default_rng(0)
    gallery = rng.random((300, 8), dtype=np.float32)
    queries = rng.random((7, 8), dtype=np.float32)
    found = benchmark.our_matcher(device, gallery, queries)()
    distances = ((queries[:, None] - gallery[None]) ** 2).sum(2)
    np.testing.assert_array_equal(found, np.argsort(distances, axis=1)[:, : benchmark.K])
    device.close()


def test_a_peer_that_is_not_here_is_a_row_that_was_not_run(tmp_path):
    torch = pytest.importorskip("torch", reason="pip install torch")
    if torch.cuda.is_available():
        pytest.skip("this torch has CUDA")
    with pytest.raises(ImportError, match="was built without CUDA"):
        benchmark.torch_matcher(np.zeros((4, 2), np.float32), np.zeros((1, 2), np.float32))
