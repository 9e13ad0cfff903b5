"""One contestant of `trace_profile.py`: reads a trace, prints its figures, seconds and peak memory.

_profile_contestant.py hta|ours TRACE

Seconds are from the open file to all figures, without imports; memory is the peak of the process.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any


def hta(path: str) -> dict[str, Any]:
    """HolisticTraceAnalysis: four analyses of one rank."""
    from hta.trace_analysis import TraceAnalysis

    begin_s = time.perf_counter()
    analyzer = TraceAnalysis(trace_files={0: path}, trace_dir="/")
    temporal = analyzer.get_temporal_breakdown(visualize=False)
    overlap = analyzer.get_comm_comp_overlap(visualize=False)
    kinds, _ = analyzer.get_gpu_kernel_breakdown(visualize=False, include_memory_kernels=True)
    idle, _ = analyzer.get_idle_time_breakdown(ranks=[0], visualize=False)
    seconds = time.perf_counter() - begin_s
    return {
        "seconds": seconds,
        "temporal": {
            name: float(temporal[name].iloc[0]) for name in temporal if name.endswith("(us)")
        },
        "overlap": float(overlap["comp_comm_overlap_pctg"].iloc[0]),
        "kernel_types": {
            row["kernel_type"]: int(row["sum"]) for row in kinds.to_dict("records") if row["sum"]
        },
        "idle": sorted(
            [int(row["stream"]), row["idle_category"], int(row["idle_time"])]
            for row in idle.to_dict("records")
        ),
    }


def ours(path: str) -> dict[str, Any]:
    """The same figures by its rules, and a whole profile by ours."""
    from deepseek_observe.profile.hta import figures
    from deepseek_observe.profile.profile import profile
    from deepseek_observe.reading.reading import read_trace

    begin_s = time.perf_counter()
    timeline = read_trace(path)
    found = figures(timeline)
    told = profile(timeline)
    seconds = time.perf_counter() - begin_s
    return {
        "seconds": seconds,
        "temporal": found["temporal"],
        "overlap": found["overlap"],
        "kernel_types": {row["kernel_type"]: row["sum"] for row in found["kernel_types"]},
        "idle": sorted(
            [row["stream"], row["idle_category"], row["idle_time"]] for row in found["idle"]
        ),
        "verdict": told.verdict,
        "rows": len(timeline),
    }


def private_mb() -> float:
    """Private memory now, MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


def main() -> None:
    """Command line."""
    kind, path = sys.argv[1:]
    found = (hta if kind == "hta" else ours)(path)
    found["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(found))


if __name__ == "__main__":
    main()
