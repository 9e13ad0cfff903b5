"""What every benchmark here shares: pinning, interleaved timing, and an honest report.

A benchmark calls `pin()` before it imports numpy, times its contestants with `interleave`, and
ends with `Report.finish`. A row of the report is a claim with a figure, a bar and whether it holds.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

# Set for other programs on some machines; they make numpy's BLAS take the wrong kernels.
_SLOWING = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "POCL_MAX_PTHREAD_COUNT": "1",
    "CL_CONFIG_CPU_TBB_NUM_WORKERS": "1",
}
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_vpopcntdq", "avx_vnni", "amx_int8", "amx_tile")


NOT_RUN = 3
"""Exit code of a benchmark that this machine can't run, or not all of."""


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of CPU or wall time of one contestant over all rounds."""

    median_s: float
    min_s: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One claim, checked; one that could not be has neither a figure nor an answer."""

    claim: str
    figure: float | None
    unit: str
    bar: float
    holds: bool | None
    not_run: str = ""


@dataclass(kw_only=True)
class Report:
    """Collects rows and says them, to people and to a file."""

    versions: Mapping[str, str]
    rows: list[Row] = field(default_factory=list)

    def at_least(self, claim: str, figure: float, bar: float, unit: str = "x") -> None:
        """Add the claim that a figure is `bar` or more."""
        self._add(claim, float(figure), bar, unit, holds=bool(figure >= bar))

    def at_most(self, claim: str, figure: float, bar: float, unit: str = "x") -> None:
        """Add the claim that a figure is `bar` or less."""
        self._add(claim, float(figure), bar, unit, holds=bool(figure <= bar))

    def not_run(self, claim: str, bar: float, why: str, unit: str = "x") -> None:
        """Add a claim that this machine can't check, and why."""
        row = Row(claim=claim, figure=None, unit=unit, bar=bar, holds=None, not_run=why)
        self.rows.append(row)

    def _add(self, claim: str, figure: float, bar: float, unit: str, *, holds: bool) -> None:
        row = Row(claim=claim, figure=round(figure, 3), unit=unit, bar=bar, holds=holds)
        self.rows.append(row)

    def finish(self, path: Path | None) -> int:
        """Print the rows, write the JSON file if asked for.

        0 if every claim holds, 1 if one fails, 3 if none fails and one could not be checked.
        """
        print()
        for row in self.rows:
            if row.figure is None:
                print(f"not run         (bar {row.bar:g} {row.unit})  {row.claim}: {row.not_run}")
                continue
            verdict = "holds" if row.holds else "FAILS"
            print(f"{verdict}  {row.figure:8.2f} {row.unit:2} (bar {row.bar:g})  {row.claim}")
        if path is not None:
            content = {
                "machine": machine(),
                "versions": dict(self.versions),
                "rows": [asdict(row) for row in self.rows],
            }
            path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        if any(row.holds is False for row in self.rows):
            return 1
        return NOT_RUN if any(row.holds is None for row in self.rows) else 0


def pin(*, cores: int = 1) -> None:
    """Bind this process to `cores` cores and each library in it to one thread.

    Libraries read these variables when they load, and some before main: so the process is replaced
    by itself unless its environment is right already.
    """
    wanted = {**os.environ, **_ONE_THREAD}
    for name in _SLOWING:
        wanted.pop(name, None)
    if wanted != dict(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], wanted)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-cores:])


def interleave(
    contestants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Run all in turn, round after round, so that a busy moment hits everybody.

    Times are wall-clock, unless `clock` is another one: what computes alone and waits for nobody
    is best told in processor time (`time.process_time`) on a busy machine. Ends after `rounds`, or
    earlier after `seconds` (three rounds at least).
    """
    for run in contestants.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in contestants}
    end_s = time.perf_counter() + (seconds if seconds is not None else float("inf"))
    for done in range(rounds):
        if done >= 3 and time.perf_counter() > end_s:
            break
        for name, run in contestants.items():
            start_s = clock()
            run()
            times[name].append(clock() - start_s)
    return {
        name: Timing(median_s=statistics.median(taken), min_s=min(taken))
        for name, taken in times.items()
    }


def additions_s() -> float:
    """Seconds of a thousand additions: what the machine's Python is measured in."""
    found = []
    for _ in range(200):
        start_s, total = time.perf_counter(), 0.0
        for _ in range(1000):
            total += 1.0
        found.append(time.perf_counter() - start_s)
    return statistics.median(found)


def machine() -> dict[str, object]:
    """The CPU: model, cores, and the flags that matter here."""
    model, flags = platform.processor() or platform.machine(), frozenset[str]()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() == "flags":
                flags = frozenset(value.split())
    except OSError:
        pass  # not Linux: the model alone
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "flags": [flag for flag in _FLAGS if flag in flags],
    }


def versions(distributions: Sequence[str]) -> dict[str, str]:
    """Python's version and those of the distributions that are installed."""
    found = {"python": platform.python_version()}
    for name in distributions:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cpu_kind() -> str:
    """`a CPU with AMX (Intel Xeon ...)`: what decides which kernels are fast."""
    host = machine()
    kinds = [
        name for name in ("amx", "avx512", "avx2") if any(f.startswith(name) for f in _flags(host))
    ]
    return f"a CPU with {kinds[0].upper() if kinds else 'no AVX2'} ({host['cpu']})"


def _flags(host: Mapping[str, object]) -> list[str]:
    flags = host["flags"]
    return [str(flag) for flag in flags] if isinstance(flags, list) else []


def print_head(title: str, used: Mapping[str, str]) -> None:
    """Say what runs, where and with which versions."""
    host = machine()
    print(title)
    print(f"machine: {host['cpu']}, {host['cores']} cores, {' '.join(map(str, host['flags']))}")  # type: ignore[call-overload]
    print("versions: " + ", ".join(f"{name} {version}" for name, version in used.items()))


def print_timings(title: str, timings: Mapping[str, Timing], reference: str) -> None:
    """A table of medians and minima; the ratio is time over that of `reference`."""
    base = timings[reference]
    print(f"\n{title}\n  {'median ms':>10} {'min ms':>9} {'ratio':>7}")
    for name, t in timings.items():
        ratio = t.median_s / base.median_s
        print(f"  {t.median_s * 1e3:10.2f} {t.min_s * 1e3:9.2f} {ratio:7.2f}  {name}")
