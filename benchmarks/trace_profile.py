"""`ds-sdk profile` beside HolisticTraceAnalysis 0.5.0: the same figures, sooner and in less memory.

Each trace is read by a process for each tool, in turn; seconds are from the file to all figures,
without imports, and memory is the peak of the process, its libraries included. The figures must be
equal to the microsecond. Then one large trace, made by repeating a real one, is read by ours alone,
1.6 million ranges are attributed to 700,000 launches, and three exports of Nsight Systems are told
by what bounds them.

FOLDER (or `$DEEPSEEK_DATA`) has `profiles/torch/*.json.gz` and `profiles/nsys/*.sqlite.xz`. HTA has
an environment of its own:

    python -m venv /tmp/hta && /tmp/hta/bin/pip install HolisticTraceAnalysis==0.5.0 psutil
    python benchmarks/trace_profile.py --data FOLDER --hta /tmp/hta/bin/python [--json FILE]
"""

from __future__ import annotations

import argparse
import gzip
import json
import lzma
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from _report import Report, pin, print_head, versions

CONTESTANT: Final = str(Path(__file__).with_name("_profile_contestant.py"))
LIMIT_S: Final = 600.0
WITH_DEVICE: Final = (
    "a100_2rank_rank0", "v100_1rank_ns", "a100_alexnet_h2d", "mi250_rocm62", "128rank_sampled_rank0"
)  # fmt: skip
VERDICTS: Final = {"h100_2gpu_1s": "copy", "mfu_2gpu_before": "compute", "mock": "idle"}
LARGE: Final = 537_000_000
RANGES, LAUNCHES = 1_600_000, 700_000


def told(python: str, kind: str, path: Path) -> dict[str, Any]:
    """What a contestant says of a trace."""
    done = subprocess.run(
        [python, CONTESTANT, kind, str(path)], capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{kind} on {path.name}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def beside_hta(report: Report, folder: Path, python: str, rounds: int) -> None:
    """Each trace by both tools."""
    print(f"\n{'':26}{'HTA':>9}{'ours':>9}{'HTA':>9}{'ours':>9}")
    for name in WITH_DEVICE:
        path = folder / f"{name}.json.gz"
        found = [(told(python, "hta", path), told(sys.executable, "ours", path))
                 for _ in range(rounds)]  # fmt: skip
        theirs, mine = found[0]
        times = [statistics.median(pair[n]["seconds"] for pair in found) for n in (0, 1)]
        memory = [statistics.median(pair[n]["peak_mb"] for pair in found) for n in (0, 1)]
        print(f"{name:26}{times[0]:8.3f}s{times[1]:8.3f}s{memory[0]:7.0f}MB{memory[1]:7.0f}MB",
              flush=True)  # fmt: skip
        report.at_least(f"{name}: times faster", times[0] / times[1], 7.0)
        report.at_most(f"{name}: memory", memory[1] / memory[0], 0.4)
        report.at_most(f"{name}: figures off by", off(theirs, mine), 1.0, "us")


def off(theirs: dict[str, Any], mine: dict[str, Any]) -> float:
    """The largest difference of two sets of figures, microseconds or hundredths of a percent."""
    if [row[:2] for row in theirs["idle"]] != [row[:2] for row in mine["idle"]]:
        return math.inf
    if theirs["kernel_types"].keys() != mine["kernel_types"].keys():
        return math.inf
    pairs = [
        *((theirs["temporal"][name], mine["temporal"][name]) for name in mine["temporal"]),
        *((theirs["kernel_types"][name], mine["kernel_types"][name])
          for name in mine["kernel_types"]),
        *((a[2], b[2]) for a, b in zip(theirs["idle"], mine["idle"], strict=True)),
    ]  # fmt: skip
    overlaps = theirs["overlap"], mine["overlap"]
    if overlaps[1] is None:
        return math.inf if not math.isnan(overlaps[0]) else max(abs(a - b) for a, b in pairs)
    return max(*(abs(a - b) for a, b in pairs), 50 * abs(overlaps[0] - overlaps[1]))


def large(report: Report, folder: Path) -> None:
    """A real trace, again and again, until the file is as large as wanted."""
    every = json.loads(gzip.decompress((folder / "a100_2rank_rank0.json.gz").read_bytes()))
    with tempfile.TemporaryDirectory() as made:
        path = Path(made) / "large.json"
        write_large(path, every)
        code = (
            "import sys, time, resource\n"
            f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
            "from _profile_contestant import private_mb\n"
            "from deepseek_observe.reading.reading import read_trace\n"
            "from deepseek_observe.profile.profile import profile\n"
            "import numpy\n"
            "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
            "begin_s = time.perf_counter()\n"
            f"timeline = read_trace({str(path)!r})\n"
            "seconds = time.perf_counter() - begin_s\n"
            "peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
            "print(seconds, peak - before, len(timeline))\n"
        )
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                               timeout=LIMIT_S, check=True).stdout.split()  # fmt: skip
    seconds, memory = float(found[0]), float(found[1])
    print(f"\n{LARGE / 1e6:.0f} MB: {seconds:.2f} s, {memory:.0f} MB more, {int(found[2]):,} rows")
    report.at_most("a trace of 537 MB: read", seconds, 6.0, "s")
    report.at_most("a trace of 537 MB: memory beyond the imports", memory, 96.0, "MB")


def write_large(path: Path, every: dict[str, Any]) -> None:
    """Repeat the events, later and with correlations of their own each time."""
    around = {name: value for name, value in every.items() if name != "traceEvents"}
    with path.open("w") as file:
        file.write(json.dumps(around)[:-1] + ', "traceEvents": [\n')
        number = 0
        while file.tell() < LARGE:
            for event in every["traceEvents"]:
                changed = dict(event)
                if "ts" in changed:
                    changed["ts"] = round(changed["ts"] + number * 1e6, 3)
                if "correlation" in (args := changed.get("args", {})):
                    args = {**args, "correlation": args["correlation"] + number * 10_000_000}
                    changed["args"] = args
                file.write(json.dumps(changed) + ",\n")
            number += 1
        file.write('{"ph": "M"}]}')


def attribute(report: Report) -> None:
    """Ranges of several threads, eight in each other, and launches anywhere."""
    import numpy as np

    from deepseek_observe.timeline.nesting import innermost, nest

    draw, number = np.random.default_rng(0), np.arange(RANGES)
    starts = number * 10
    ends = starts + np.where(number % 8 == 0, 79, 9)
    threads = number // (RANGES // 4)
    times = draw.integers(0, RANGES * 10, LAUNCHES)
    own = draw.integers(0, 4, LAUNCHES)
    begin_s = time.perf_counter()
    innermost(nest(starts, ends, threads), times, own)
    seconds = time.perf_counter() - begin_s
    report.at_most(f"{RANGES:,} ranges, {LAUNCHES:,} launches: attributed", seconds, 6.0, "s")


def judge(report: Report, folder: Path) -> None:
    """What bounds the exports of Nsight Systems."""
    from deepseek_observe.profile.profile import profile
    from deepseek_observe.reading.reading import read_trace

    for name, wanted in VERDICTS.items():
        with tempfile.TemporaryDirectory() as made:
            path = Path(made) / f"{name}.sqlite"
            path.write_bytes(lzma.decompress((folder / f"{name}.sqlite.xz").read_bytes()))
            found = profile(read_trace(path))
        first = found.findings[0].title if found.findings else "nothing"
        print(f"{name}: bound by {found.verdict}; first: {first}")
        report.at_least(f"{name}: bound by {wanted}", float(found.verdict == wanted), 1.0, "")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=os.environ.get("DEEPSEEK_DATA"))
    parser.add_argument("--hta", metavar="PYTHON", help="an interpreter that has HTA 0.5.0")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.data is None:
        parser.error("--data FOLDER, or DEEPSEEK_DATA, names where profiles/ lies")
    pin()
    used = versions(["deepseek-core", "deepseek-observe", "numpy", "msgspec"])
    print_head("Traces: where the time went", used)
    report = Report(versions=used)
    folder = Path(args.data) / "profiles"
    if args.hta is None:
        report.not_run("times faster than HTA", 7.0, "--hta names no interpreter: see --help")
    else:
        beside_hta(report, folder / "torch", args.hta, args.rounds)
    large(report, folder / "torch")
    attribute(report)
    judge(report, folder / "nsys")
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
