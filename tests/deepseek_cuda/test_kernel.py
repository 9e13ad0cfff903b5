"""The matcher's kernels: compiled for four architectures, and interpreted against numpy."""

import glob
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton", reason="pip install --no-deps triton")
pytestmark = pytest.mark.filterwarnings("default")  # of the compiler's own sources

from deepseek_cuda.matching.program import Target, compiled, program  # noqa: E402

CUOBJDUMP = glob.glob(f"{Path(triton.__file__).parent}/backends/nvidia/bin/cuobjdump")  # noqa: PTH207
ARCHITECTURES = [(7, 5), (8, 0), (9, 0), (10, 0)]


def dumped(cubin, tmp_path, what):
    file = tmp_path / "kernel.cubin"
    file.write_bytes(cubin)
    done = subprocess.run([*CUOBJDUMP, what, file], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(not CUOBJDUMP, reason="this build of Triton has no cuobjdump")
@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda c: f"sm_{c[0]}{c[1]}")
@pytest.mark.parametrize(
    ("name", "metric", "k"),
    [("match_tile", "l2_f32", 2), ("match_tile", "l2_i8", 16), ("match_tile", "hamming_u32", 2),
     ("match_merge", "l2_f32", 16)],
)  # fmt: skip
def test_a_kernel_has_at_most_64_registers_and_spills_none(tmp_path, capability, name, metric, k):
    cubin = compiled(name, metric, k, capability).cubin
    used = dumped(cubin, tmp_path, "--dump-resource-usage")
    found = {word: int(number) for word, number in re.findall(r"(REG|STACK|LOCAL):(\d+)", used)}
    assert found["REG"] <= 64
    assert (found["STACK"], found["LOCAL"]) == (0, 0)
    if metric.startswith("hamming"):
        assert "POPC" in dumped(cubin, tmp_path, "-sass")


def test_what_is_compiled_is_kept_and_what_is_damaged_is_compiled_again(tmp_path, monkeypatch):
    target = Target(device_id="cuda:0", capability=(8, 0), folder=tmp_path)
    first = program("l2_f32", 1, target)
    files = sorted((tmp_path / "cuda").iterdir())
    assert [file.suffix for file in files] == [".json", ".json"]
    monkeypatch.setattr("deepseek_cuda.matching.program.compiled", lambda *_: pytest.fail("again"))
    assert program("l2_f32", 1, target) == first
    monkeypatch.undo()
    for file in files:
        kept = json.loads(file.read_text())
        file.write_text(json.dumps({**kept, "cubin": kept["cubin"][:-2] + "00"}))
    assert program("l2_f32", 1, target) == first


INTERPRETED = """
import sys
import numpy as np, torch, triton
from deepseek_cuda.matching.kernel import match_merge, match_tile
metrics = {"l2_f32": 0, "l2_i8": 1, "hamming": 2}
draw = np.random.default_rng(5)
for metric, (b, n, w, k) in [
    ("l2_f32", (5, 130, 8, 2)), ("l2_f32", (17, 64, 3, 16)), ("l2_f32", (1, 2, 1, 2)),
    ("l2_i8", (5, 130, 8, 3)), ("hamming", (18, 100, 4, 2)), ("hamming8", (3, 70, 5, 1)),
]:
    if metric == "l2_f32":
        rows = draw.integers(-9, 9, (b + n, w)).astype(np.float32)
    elif metric == "l2_i8":
        rows = draw.integers(-128, 128, (b + n, w)).astype(np.int8)
    elif metric == "hamming":
        rows = draw.integers(0, 1 << 32, (b + n, w), dtype=np.uint32)
    else:
        rows = draw.integers(0, 256, (b + n, w), dtype=np.uint8)
    q, g = rows[:b], rows[b:]
    if metric.startswith("hamming"):
        x = (q[:, None] ^ g[None]).view(np.uint8)
        right = np.unpackbits(x, axis=2).sum(2, dtype=np.int32)
    else:
        wide = rows.astype(np.float32 if metric == "l2_f32" else np.int32)
        right = ((wide[:b, None] - wide[None, b:]) ** 2).sum(2, dtype=wide.dtype)
    tiles = -(-n // 64)
    keys = torch.empty(b, tiles, k, dtype=torch.int64)
    turned = torch.from_numpy(np.ascontiguousarray(g.T))
    code = 2 if metric.startswith("hamming") else metrics[metric]
    queries = torch.from_numpy(np.ascontiguousarray(q))
    grid = (-(-b // 16) * tiles,)
    match_tile[grid](queries, turned, keys, b, n, w, tiles, METRIC=code, K=k, BQ=16, BN=64)
    indices = torch.empty(b, k, dtype=torch.int64)
    distances = torch.empty(b, k, dtype=torch.int32)
    match_merge[(b,)](keys, indices, distances, tiles * k, K=k, BM=256)
    order = np.argsort(right, axis=1, kind="stable")[:, :k]
    made = distances.numpy().view(right.dtype)
    np.testing.assert_array_equal(indices.numpy(), order)
    np.testing.assert_array_equal(made, np.take_along_axis(right, order, 1))
    print(metric, "equal")
"""


def test_interpreted_kernels_equal_numpy(tmp_path):
    """Whole numbers, so that sums are exact in any order and ties are many."""
    pytest.importorskip("torch", reason="the interpreter takes torch's tensors")
    import os

    environment = os.environ | {"TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INTERPRETED],
        env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        word for metric in ("l2_f32", "l2_f32", "l2_f32", "l2_i8", "hamming", "hamming8")
        for word in (metric, "equal")
    ]  # fmt: skip
