"""One load in a fresh process, by ONNX Runtime alone or by us: CPU time and peak memory.

    python benchmarks/_loading.py raw|ours MODEL

Prints a JSON object. Imports count as memory, not as time.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import attrs


@attrs.frozen(kw_only=True)
class Load:
    """Seconds of CPU, seconds of wall time, and the most bytes that were ever in memory."""

    cpu_s: float
    wall_s: float
    peak_bytes: int


def load(who: str, model: Path) -> Load:
    """Load a model in a process of its own."""
    command = [sys.executable, __file__, who, str(model)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Load(**json.loads(answer.splitlines()[-1]))


def _raw(model: str) -> None:
    from deepseek_onnx.ort import ort  # the library, its telemetry off

    start = _now()
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    _tell(start)
    assert session.get_outputs()


def _ours(model: str) -> None:
    from deepseek_core import Session

    with Session(devices=["onnx"], threads=1) as session:
        session.planner.pool.open("onnx:cpu")  # imports ONNX Runtime
        start = _now()
        plan = session.plan(session.load(model))
        plan.warmup()
        _tell(start)


def _now() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _tell(start: tuple[float, float]) -> None:
    cpu_s, wall_s = (now - then for now, then in zip(_now(), start, strict=True))
    print(json.dumps({"cpu_s": cpu_s, "wall_s": wall_s, "peak_bytes": _peak_bytes()}))


def _peak_bytes() -> int:
    # getrusage tells what the parent had when it forked, if that was more.
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("this system does not tell the peak of a process's memory")


if __name__ == "__main__":
    {"raw": _raw, "ours": _ours}[sys.argv[1]](sys.argv[2])
