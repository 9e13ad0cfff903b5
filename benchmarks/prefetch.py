"""Prefetch on real traces: mean wait and hit rate, source by source and with the duel.

A simulated store: one requester that waits (closed loop: a fetch takes 1.11 ms on 8 channels, a hit
0.02 ms) or arrivals that do not (open loop: a fetch lasts 16 arrivals, channels without limit), a
cache of 10 % of the trace's distinct blocks. The first 60,000 requests of each trace run, the last
60 % of them count. The LSTM is trained by steps on the past of the trace alone, at 20, 40 and 70 %
of it, each time on at most the 24,000 requests before.

What the prefetcher itself takes is measured on the calls that the simulated store makes (requests,
hits and misses, arrivals), replayed in short windows, all of it in processor time. A thousand
additions are timed before and after each window; the figure is the mean over the windows of the
median of the replays.

    python benchmarks/prefetch.py [--traces FOLDER] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import numpy as np

import _read_patterns as patterns
import _traces
from _report import (
    Report,
    interleave,
    pin,
    print_head,
    print_timings,
    versions,
)
from _simulated_store import (
    Conditions,
    Outcome,
    closed_loop,
    footprint_share,
    open_loop,
)
from deepseek_store.prefetch.gradients import fresh, gradients
from deepseek_store.prefetch.lstm import CLASSES, EMBEDDING, HIDDEN, Weights
from deepseek_store.prefetch.prefetcher import NAMES, Prefetcher
from deepseek_store.prefetch.training import Training, train

LONGEST = 60_000
LESSONS = (0.2, 0.4, 0.7)
PAST = 24_000
FETCH_S = 1.11e-3
ARRIVALS = 16
UNLIMITED = 1 << 20
SUBSETS = tuple(
    tuple(name for number, name in enumerate(NAMES) if mask >> number & 1) for mask in range(8)
)
COST_BAR = 2.16  # thousand additions: 40 us where those take 18.5
COST_REQUESTS, COST_WINDOW, REPLAYS = 15_000, 500, 5
FEW_CHANNELS = (1, 2)
FEW_BAR = 1.02
WAIT_BARS_MS = {
    "cloudphysics": 0.15,
    "search": 0.52,
    "multi3": 0.37,
    "sprite": 0.175,
    "orm-busy": 0.23,
}
OPEN_BARS = {"cloudphysics": 0.855, "multi3": 0.63}
LEFT_OUT = ("scarab", "adaptsize")  # hashes: no distance in them means anything
QUICK = ("multi3", "orm-busy", "random", "files")
FILES = ("files", "short files")
MADE_LONGEST = 30_000
NO_TORCH = """
import sys
from deepseek_store.prefetch.prefetcher import Prefetcher
from deepseek_store.prefetch.trainer import Trainer
from deepseek_store.prefetch.training import Training
with Trainer(first=2048, training=Training(steps=20)) as teacher:
    prefetcher = Prefetcher(capacity_blocks=100, teacher=teacher)
    for block in range(4096):
        prefetcher.on_request(block * block % 307, False, block * 1e-3)
    prefetcher.adopt(teacher.wait())
    for block in range(4096):
        prefetcher.on_request(block * block % 307, False, block * 1e-3)
sys.exit("torch" in sys.modules)
"""


class Lessons:
    """Trains at stated requests, at once, on what came before; each lesson is taught once."""

    def __init__(self, at: Sequence[int], taught: dict[tuple[int, int], Weights | None]) -> None:
        self._at = list(at)
        self._taught = taught  # by (number of the lesson, lead): shared between runs of one trace
        self._weights: Weights | None = None

    def poll(self, history: Sequence[int], requests: int, lead: int) -> Weights | None:
        """New weights at a lesson, unless the old ones are better."""
        if not self._at or requests < self._at[0]:
            return None
        lesson = (self._at.pop(0), lead)
        if lesson not in self._taught:
            past = np.array(history, dtype=np.int64)
            self._taught[lesson] = train(past, Training(ahead=lead), self._weights)
        self._weights = self._taught[lesson] or self._weights
        return self._taught[lesson]


@attrs.frozen(kw_only=True)
class Result:
    """All figures of one trace; waits in ms, `always` by subset of sources."""

    name: str
    always_ms: dict[tuple[str, ...], float]
    duel: Outcome
    without_lstm_ms: float
    open_rates: tuple[float, float, float]
    """Hit rates of the open loop: no prefetch, duel without LSTM, duel."""
    instant_rates: tuple[float, float, float]
    """The same when a fetch ends before the next arrival."""
    few: dict[int, float]
    """By channels: wait with the duel over wait without prefetch."""
    acting: tuple[str, ...]
    weights: Weights | None

    @property
    def none_ms(self) -> float:
        """Mean wait without prefetch."""
        return self.always_ms[()]

    @property
    def duel_ms(self) -> float:
        """Mean wait with all sources behind the duel."""
        return self.duel.mean_wait_s * 1e3


def measure(job: tuple[str, list[int]]) -> Result:
    """Run one trace under all conditions."""
    name, trace = job
    capacity = footprint_share(trace)
    taught: dict[tuple[int, int], Weights | None] = {}
    at = [int(len(trace) * share) for share in LESSONS]

    def prefetcher(sources: Sequence[str] = NAMES, *, gated: bool = True) -> Prefetcher:
        return Prefetcher(
            capacity_blocks=capacity,
            fetch_s=FETCH_S,
            sources=sources,
            teacher=Lessons(at, taught) if "lstm" in sources else None,
            history=PAST,
            gated=gated,
        )

    store = Conditions(capacity_blocks=capacity, fetch_s=FETCH_S)
    every, few = prefetcher(), NAMES[:2]
    duel = closed_loop(trace, every, store)
    always_ms = {
        subset: closed_loop(
            trace, prefetcher(subset, gated=False) if subset else None, store
        ).mean_wait_s
        * 1e3
        for subset in SUBSETS
    }
    unlimited = attrs.evolve(store, channels=UNLIMITED)

    def wait_with_over_without(channels: int) -> float:
        scarce = attrs.evolve(store, channels=channels)
        waits = (closed_loop(trace, p, scarce).mean_wait_s for p in (prefetcher(), None))
        return next(waits) / next(waits)

    def rates(arrivals: int) -> tuple[float, float, float]:
        none, without, all_ = (
            open_loop(trace, contestant, unlimited, arrivals).hit_rate
            for contestant in (None, prefetcher(few), prefetcher())
        )
        return none, without, all_

    return Result(
        name=name,
        always_ms=always_ms,
        duel=duel,
        without_lstm_ms=closed_loop(trace, prefetcher(few), store).mean_wait_s * 1e3,
        open_rates=rates(ARRIVALS),
        instant_rates=rates(1),
        few={channels: wait_with_over_without(channels) for channels in FEW_CHANNELS},
        acting=every.stats().acting,
        weights=every.lstm.weights,
    )


def known_orders() -> dict[str, float]:
    """Hit rates of the open loop when the order is known; a cache of 10 %, 32 channels."""
    rng = np.random.default_rng(5)
    shuffled = np.concatenate([rng.permutation(6000) for _ in range(5)])
    workers = shuffled[np.argsort(np.arange(len(shuffled)) + rng.uniform(0, 8, len(shuffled)))]
    cyclic = np.tile(np.arange(6000), 5)
    cases = {
        "shuffled epochs": (shuffled, shuffled),
        "cyclic epochs": (cyclic, cyclic),
        "shuffled, 8 workers out of turn": (shuffled, workers),
    }
    return {name: _ordered(order.tolist(), ids.tolist()) for name, (order, ids) in cases.items()}


def _ordered(order: list[int], trace: list[int]) -> float:
    prefetcher = Prefetcher(capacity_blocks=600, fetch_s=FETCH_S)
    prefetcher.set_order(order)
    store = Conditions(capacity_blocks=600, fetch_s=FETCH_S, channels=32, skip=0.0)
    return open_loop(trace, prefetcher, store, ARRIVALS).hit_rate


class Recorder:
    """Passes calls on to a prefetcher and keeps them."""

    def __init__(self, prefetcher: Prefetcher) -> None:
        self._prefetcher = prefetcher
        self.calls: list[tuple[int, bool, float] | tuple[int, float, float]] = []
        self.starts: list[int] = []  # of each window, in `calls`
        self._requests = 0

    def on_request(self, block: int, hit: bool, now_s: float) -> Sequence[int]:
        """Keep a request."""
        if self._requests % COST_WINDOW == 0:
            self.starts.append(len(self.calls))
        self._requests += 1
        self.calls.append((block, hit, now_s))
        return self._prefetcher.on_request(block, hit, now_s)

    def on_fetched(self, block: int, seconds: float, now_s: float) -> None:
        """Keep an arrival."""
        self.calls.append((block, seconds, now_s))
        self._prefetcher.on_fetched(block, seconds, now_s)


def cost(trace: Sequence[int], weights: Weights | None) -> float:
    """Processor time of one request, all sources and the duel, over a thousand additions."""
    capacity = footprint_share(trace)

    def prefetcher() -> Prefetcher:
        return Prefetcher(capacity_blocks=capacity, fetch_s=FETCH_S, weights=weights)

    recorder = Recorder(prefetcher())
    part = trace[: min(COST_REQUESTS, len(trace)) // COST_WINDOW * COST_WINDOW]
    closed_loop(part, recorder, Conditions(capacity_blocks=capacity, fetch_s=FETCH_S))
    windows = list(zip(recorder.starts, [*recorder.starts[1:], len(recorder.calls)], strict=True))
    parts = [recorder.calls[start:end] for start, end in windows]
    replays = [
        [_window(ours, calls) for calls in parts] for ours in (prefetcher() for _ in range(REPLAYS))
    ]
    return statistics.fmean(map(statistics.median, zip(*replays, strict=True)))


def _window(ours: Prefetcher, calls: Sequence[tuple[int, float, float]]) -> float:
    """Replay one window of calls; a request's time over that of a thousand additions."""
    additions_s = thousand_additions_s()
    start_s = time.process_time()
    for block, what, now_s in calls:
        if isinstance(what, bool):
            ours.on_request(block, what, now_s)
        else:
            ours.on_fetched(block, what, now_s)
    taken_s = time.process_time() - start_s
    additions_s = (additions_s + thousand_additions_s()) / 2
    return taken_s / COST_WINDOW / additions_s


def thousand_additions_s(rounds: int = 100) -> float:
    """Processor time of a thousand additions, the mean over as many rounds."""
    start_s, total = time.process_time(), 0.0
    for _ in range(rounds * 1000):
        total += 1.0
    return (time.process_time() - start_s) / rounds


def patterns_made() -> dict[str, list[int]]:
    """Reads of training and tables, of other seeds and sizes than the constants were chosen on."""
    volumes = patterns.volumes(168, 60, 25, seed=11)
    short = patterns.volumes(900, 12, 5, seed=12)
    return {
        "files": patterns.files(volumes, readers=4, epochs=3, seed=13),
        "short files": patterns.files(short, readers=6, epochs=3, seed=14),
        "columns": patterns.columns(30, readers=3, epochs=8, seed=15),
        "scans, runs": patterns.long_and_short(MADE_LONGEST, period=1000, seed=16),
    }


def jobs(arguments: argparse.Namespace) -> list[tuple[str, list[int]]]:
    """The traces at hand, and some that are made."""
    names = [name for name in _traces.NAMES if name not in LEFT_OUT]
    rng = np.random.default_rng(0)
    made = {
        "random": rng.integers(0, 5000, LONGEST),
        "shuffled": np.concatenate([rng.permutation(6000) for _ in range(10)]),
    }
    found = [
        (trace.name, trace.ids.tolist())
        for trace in _traces.load_all(arguments.traces, names, longest=LONGEST)
    ]
    found += [(name, ids.tolist()) for name, ids in made.items()]
    found += [(name, ids[:MADE_LONGEST]) for name, ids in patterns_made().items()]
    return [job for job in found if not arguments.quick or job[0] in QUICK]


def print_tables(results: Sequence[Result]) -> None:
    """Waits by subset and duel; then what the LSTM adds."""
    heads = ["none", *("+".join(name[0].upper() for name in s) for s in SUBSETS[1:]), "duel"]
    print("\nMean wait in ms, closed loop (S streams, M Markov, L LSTM: always on)")
    print(f"  {'':13}" + "".join(f"{head:>7}" for head in heads) + "  issued  acts at the end")
    for r in results:
        waits = "".join(f"{ms:7.3f}" for ms in (*r.always_ms.values(), r.duel_ms))
        issued = r.duel.issued / r.duel.requests
        print(f"  {r.name:13}{waits}{issued:8.2f}  {'+'.join(r.acting) or 'none'}")
    print("\nThe LSTM's own worth: the duel without and with it")
    print(f"  {'':13}{'wait, ms':>15}{'instantaneous fetch':>27}{'16 arrivals a fetch':>27}")
    for r in results:
        rates = "".join(f"{rate:9.3f}" for rate in (*r.instant_rates, *r.open_rates))
        print(f"  {r.name:13}{r.without_lstm_ms:7.3f}{r.duel_ms:8.3f}{rates}")


def judge(report: Report, results: Sequence[Result]) -> None:
    """Hold the figures against the bars."""
    for r in results:
        none = r.duel_ms / r.none_ms
        report.at_most(f"{r.name}: wait with the duel / without prefetch", none, 1.01)
        for channels, share in r.few.items():
            claim = f"{r.name}: wait with the duel / without prefetch, channels: {channels}"
            report.at_most(claim, share, FEW_BAR)
        best = min(r.always_ms.values())
        report.at_most(f"{r.name}: wait with the duel / best subset", r.duel_ms / best, 1.03)
        if r.name in WAIT_BARS_MS:
            claim = f"{r.name}: mean wait, closed loop (none {r.none_ms:.2f})"
            report.at_most(claim, r.duel_ms, WAIT_BARS_MS[r.name], "ms")
        if r.name in OPEN_BARS:
            none = r.open_rates[0]
            claim = f"{r.name}: hit rate, open loop, 16 arrivals a fetch (none {none:.2f})"
            report.at_least(claim, r.open_rates[2], OPEN_BARS[r.name], "")
        if r.name in FILES:
            fetched = (r.duel.issued + r.duel.misses) / r.duel.requests
            report.at_most(f"{r.name}: fetches per request", fetched, 1.1, "")
        if r.name == "random":
            report.at_most("random: issued per request", r.duel.issued / r.duel.requests, 0.02, "")
        if r.name == "orm-busy":
            gain = r.instant_rates[2] - r.instant_rates[1]
            claim = "orm-busy: hit rate that the LSTM adds, instantaneous fetch"
            report.at_least(claim, gain, 0.02, "")
            share = r.duel_ms / r.without_lstm_ms
            report.at_most("orm-busy: wait with / without the LSTM, closed loop", share, 0.95)


def training_steps() -> dict[str, Callable[[], object]]:
    """Forward and backward of one batch of the product's sizes: ours, and torch's if it is here."""
    rng = np.random.default_rng(0)
    arrays = fresh(CLASSES, CLASSES, rng)
    size = Training()
    seen, wanted = rng.integers(0, CLASSES, (2, size.batch, size.window))
    found: dict[str, Callable[[], object]] = {"ours": lambda: gradients(arrays, seen, wanted, 0)}
    try:
        import torch
    except ImportError:
        return found
    torch.set_num_threads(1)
    embedding, lstm = torch.nn.Embedding(CLASSES, EMBEDDING), torch.nn.LSTM(EMBEDDING, HIDDEN)
    output = torch.nn.Linear(HIDDEN, CLASSES)
    seen_tb, labels = torch.from_numpy(seen.T.copy()), torch.from_numpy(wanted.T.copy()).flatten()

    def torch_step() -> None:
        logits = output(lstm(embedding(seen_tb))[0]).flatten(0, 1)
        torch.nn.functional.cross_entropy(logits, labels).backward()

    return found | {"torch": torch_step}


def main() -> int:
    """Measure, print, and say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    _traces.add_argument(parser)
    parser.add_argument("--quick", action="store_true", help=f"only {', '.join(QUICK)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    arguments = parser.parse_args()
    pin(cores=2)
    used = versions(("deepseek-store", "numpy", "torch"))
    print_head("Prefetch: sources, duel and known orders on a simulated store", used)
    work = jobs(arguments)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map(measure, work, chunksize=1)
    print_tables(results)
    report = Report(versions=used)
    judge(report, results)
    for name, rate in known_orders().items():
        report.at_least(f"known order, {name}: hit rate", rate, 0.995, "")
    weights = {r.name: r.weights for r in results}
    costs = {name: cost(trace, weights[name]) for name, trace in work}
    print("\nper request over a thousand additions, all in: ", end="")
    print(", ".join(f"{name} {share:.2f}" for name, share in costs.items()))
    claim = "prefetcher per request over a thousand additions, all in, worst trace"
    report.at_most(claim, max(costs.values()), COST_BAR)
    timings = interleave(training_steps(), rounds=40, clock=time.process_time)
    if "torch" in timings:
        print_timings("One step of training, one thread", timings, "torch")
        share = timings["ours"].min_s / timings["torch"].min_s
        report.at_most("a training step in numpy / in torch", share, 1.6)
    torch = subprocess.run([sys.executable, "-c", NO_TORCH], check=False).returncode
    report.at_most("torch imported while serving and training", torch, 0, "")
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
