"""What three tiers cost when objects move by learned heat, and by the usual rules.

A trace is played as 60 days of reads. Objects are born hot at their first read; twice a day a rule
looks at what was read so far and says where each should be. Counted are the room (per stored GiB
and month), the time that readers wait, and the time that moves take (at a tenth of a reader's).
The rules: the best single tier; an age rule as in object stores' lifecycles (back to hot when read,
warm and cold after so many days without), both with the default ages and with the best of 15 pairs
in hindsight; a count of the last days' reads, likewise; the decaying rate; and the learned one.
The last line of each table is what could be had by one who knows the next two weeks.

    python benchmarks/tiering.py [--traces FOLDER] [--json FILE]

Without `--traces` it runs on what lies in the repository (see tests/data/traces/README.md).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean

from _report import Report, pin, print_head, versions

pin()

import attrs  # noqa: E402
import numpy as np  # noqa: E402
from numpy.typing import NDArray  # noqa: E402

from _traces import TraceMissing, add_argument, load, load_requests  # noqa: E402
from deepseek_store.planning.heat import LN2  # noqa: E402
from deepseek_store.planning.policy import DAY_S, TIERS, Policy  # noqa: E402
from deepseek_store.planning.reaccess import Reaccess  # noqa: E402
from deepseek_store.planning.tiering import TierTerms, move_price, room_price, wait_price  # noqa: E402
from deepseek_store.planning.tiering_many import Columns, choose_many  # noqa: E402

Floats = NDArray[np.float64]
Numbers = NDArray[np.int8]
State = Mapping[str, Floats]

DAYS, STEPS_A_DAY = 60.0, 2
STEP_S = DAY_S / STEPS_A_DAY
LONGEST = 400_000  # requests of a trace
OBJECT_NBYTES = 1 << 20
HOT, WARM, COLD = range(3)
TERMS = (
    TierTerms(name="hot", latency_s=1e-4, bytes_per_s=1e9),
    TierTerms(name="warm", latency_s=8e-3, bytes_per_s=150e6, stored_per_logical=55 / 48),
    TierTerms(name="cold", latency_s=30e-3, bytes_per_s=80e6, stored_per_logical=150 / 140),
)
POLICY = Policy()
PREVIEW_STEPS = 14 * STEPS_A_DAY


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Accesses in order: number of the object, and step. `nbytes` of each object."""

    name: str
    item: NDArray[np.int64]
    time_s: Floats
    nbytes: Floats

    @property
    def step(self) -> NDArray[np.int64]:
        """The step that each access falls into."""
        return (self.time_s / STEP_S).astype(np.int64)

    def counts(self) -> list[Floats]:
        """Accesses of each object, per step."""
        steps = int(DAYS * STEPS_A_DAY)
        flat = np.bincount(
            self.step * len(self.nbytes) + self.item, minlength=steps * len(self.nbytes)
        )
        return list(flat.reshape(steps, -1).astype(np.float64))


def reads(folder: Path | None) -> Iterator[Reads]:
    """All that is at hand; says what is missing."""
    names = ("cloudphysics", "search", "multi3", "sprite", "orm-busy", "web07", "scarab")
    for name in (*names, "adaptsize"):
        try:
            yield _reads(name, folder)
        except TraceMissing as error:
            print(f"left out: {error}")


def _reads(name: str, folder: Path | None) -> Reads:
    nbytes: Floats | None = None
    if name in ("cloudphysics", "search"):
        requests = load_requests(name, folder)
        ids, time = requests.offset // OBJECT_NBYTES, requests.start_s
    else:
        trace = load(name, folder).head(LONGEST)
        ids, time = trace.ids, np.arange(len(trace.ids), dtype=np.float64)
        nbytes = trace.nbytes.astype(np.float64) if trace.sized else None
    known, first, item = np.unique(ids, return_index=True, return_inverse=True)
    sizes = np.full(len(known), float(OBJECT_NBYTES)) if nbytes is None else nbytes[first]
    span = float(time[-1] - time[0])
    time_s = (time - time[0]) / span * (DAYS * DAY_S) * (1 - 1e-9)
    return Reads(name=name, item=item.astype(np.int64), time_s=time_s, nbytes=sizes)


@dataclass(kw_only=True)
class World:
    """Objects as a rule may know them, after some steps; all times at the end of a step."""

    nbytes: Floats
    tier: Numbers
    rate_per_s: Floats
    at_s: Floats
    since_s: Floats
    born: NDArray[np.bool_]
    recent: list[Floats] = field(default_factory=list)
    """Accesses of each object in the last steps, the latest at the end."""

    def columns(self) -> Columns:
        """As the planner wants them."""
        return Columns(
            nbytes=self.nbytes,
            read_nbytes=self.nbytes,
            rate_per_s=self.rate_per_s,
            at_s=self.at_s,
            since_s=self.since_s,
            tier=self.tier,
            pinned=np.full(len(self.tier), -1, dtype=np.int8),
        )


Rule = Callable[[World, float], Numbers]


def static(tier: int) -> Rule:
    return lambda world, now_s: np.full(len(world.tier), tier, dtype=np.int8)


def by_age(warm_days: float, cold_days: float) -> Rule:
    """Hot when read, warm and cold after so many days without."""

    def rule(world: World, now_s: float) -> Numbers:
        days = (now_s - world.at_s) / DAY_S
        return ((days > warm_days).astype(np.int8) + (days > cold_days)).astype(np.int8)

    return rule


def by_count(hot: float, warm: float, days: int) -> Rule:
    """By the reads of the last days: hot and warm from so many on."""

    def rule(world: World, now_s: float) -> Numbers:
        count = np.sum(world.recent[-days * STEPS_A_DAY :], axis=0)
        return ((count < hot).astype(np.int8) + (count < warm)).astype(np.int8)

    return rule


def by_rate(world: World, now_s: float) -> Numbers:
    """The store's planner with the decaying rate alone."""
    return choose_many(world.columns(), TERMS, POLICY, now_s)


class Learning:
    """The store's planner with the learned heat; looks back on pictures `PICTURE` old."""

    PICTURE = 3 * STEPS_A_DAY

    def __init__(self) -> None:
        self.learned = Reaccess(half_life_s=POLICY.half_life_s)
        self._pictures: list[tuple[Floats, Floats, NDArray[np.bool_], float]] = []

    def __call__(self, world: World, now_s: float) -> Numbers:
        """Learn from an old picture, take a new one, choose."""
        if len(self._pictures) == self.PICTURE:
            rate, at_s, born, then_s = self._pictures.pop(0)
            after = (world.rate_per_s[born], world.at_s[born])
            self.learned = self.learned.learn_columns(
                (rate[born], at_s[born]), after, then_s, now_s
            )
        picture = (world.rate_per_s.copy(), world.at_s.copy(), world.born.copy(), now_s)
        self._pictures.append(picture)
        return choose_many(world.columns(), TERMS, POLICY, now_s, self.learned)


class Knowing:
    """What the planner would choose if it knew the accesses of the next days."""

    def __init__(self, counts: Sequence[Floats]) -> None:
        self._counts = counts
        self._step = 0

    def __call__(self, world: World, now_s: float) -> Numbers:
        """Choose by the reads to come."""
        self._step += 1
        ahead = self._counts[self._step : self._step + PREVIEW_STEPS]
        read = np.sum(ahead, axis=0) if ahead else np.zeros(len(world.tier))
        rate = read / (max(len(ahead), 1) * STEP_S)
        known = attrs.evolve(world.columns(), rate_per_s=rate, at_s=np.full(len(world.tier), now_s))
        return choose_many(known, TERMS, POLICY, now_s)


def play(trace: Reads, counts: Sequence[Floats], rule: Rule) -> float:
    """The cost of all days, in the policy's currency."""
    n = len(trace.nbytes)
    zero = np.zeros(n)
    world = World(
        nbytes=trace.nbytes,
        tier=np.zeros(n, dtype=np.int8),
        rate_per_s=zero.copy(),
        at_s=zero.copy(),
        since_s=zero.copy(),
        born=np.zeros(n, dtype=np.bool_),
    )
    last = _last_access(trace)
    cost = 0.0
    for step, count in enumerate(counts):
        now_s = (step + 1) * STEP_S
        cost += _served(world, count)
        _note(world, count, last[step], step * STEP_S)
        wanted = np.where(world.born, rule(world, now_s), world.tier).astype(np.int8)
        cost += _moved(world, wanted)
        world.since_s = np.where(wanted != world.tier, now_s, world.since_s)
        world.tier = wanted
    return cost


def _last_access(trace: Reads) -> list[Floats]:
    """For each step, the time of the last access of each object in it; 0 without one."""
    found = []
    edges = np.searchsorted(trace.step, np.arange(int(DAYS * STEPS_A_DAY) + 1))
    for start, stop in itertools.pairwise(edges.tolist()):
        last = np.zeros(len(trace.nbytes))
        last[trace.item[start:stop]] = trace.time_s[start:stop]
        found.append(last)
    return found


def _served(world: World, count: Floats) -> float:
    """Room and waiting of one step, before anything moves; newborn objects are hot."""
    cost = 0.0
    for number, terms in enumerate(TERMS):
        here = world.tier == number
        held = here & (world.born | (count > 0))
        stored = world.nbytes[held].sum() * terms.stored_per_logical
        cost += stored * room_price(terms, POLICY) / STEPS_A_DAY
        read_s = terms.latency_s + world.nbytes[here] / terms.bytes_per_s
        cost += float((count[here] * read_s).sum()) * wait_price(POLICY)
    return float(cost)


def _note(world: World, count: Floats, last_s: Floats, start_s: float) -> None:
    """Heat as the store keeps it: settled once per step, at the last access."""
    read = count > 0
    half_life_s = POLICY.half_life_s
    decayed = world.rate_per_s * np.exp2(-np.maximum(last_s - world.at_s, 0.0) / half_life_s)
    world.rate_per_s = np.where(read, decayed + count * LN2 / half_life_s, world.rate_per_s)
    world.at_s = np.where(read, last_s, world.at_s)
    world.since_s = np.where(read & ~world.born, start_s, world.since_s)
    world.born |= read
    world.recent = [*world.recent[-30 * STEPS_A_DAY :], count]


def _moved(world: World, wanted: Numbers) -> float:
    """The time that moves take, once each, at the planner's price for a second of a move."""
    cost = 0.0
    for a, source in enumerate(TERMS):
        for b, target in enumerate(TERMS):
            going = (world.tier == a) & (wanted == b) & (a != b)
            nbytes = world.nbytes[going].sum()
            seconds = nbytes / source.bytes_per_s
            seconds += nbytes * target.stored_per_logical / target.bytes_per_s
            payback_days = POLICY.half_life_s / DAY_S
            # A promotion's price is spread over one half-life: times it, it is the whole price.
            cost += float(seconds) * move_price("cold", "hot", POLICY) * payback_days
    return cost


AGES = [(w, c) for w in (0.5, 1, 2, 5, 10) for c in (3, 10, 30) if w < c]
COUNTS = [(h, w, d) for h in (2, 4, 8, 16) for w in (1, 2, 4) for d in (3, 7, 14) if w <= h]


def contest(trace: Reads) -> dict[str, float]:
    """Cost of each rule."""
    counts = trace.counts()
    single = {f"all {TIERS[t]}": play(trace, counts, static(t)) for t in range(3)}
    ages = {pair: play(trace, counts, by_age(*pair)) for pair in AGES}
    tallies = {each: play(trace, counts, by_count(*each)) for each in COUNTS}
    return {
        "best single tier": min(single.values()),
        "age, 1 and 10 days": ages[1, 10],
        "age, best in hindsight": min(ages.values()),
        "count, 4 and 1 in 7 days": tallies[4, 1, 7],
        "count, best in hindsight": min(tallies.values()),
        "decaying rate": play(trace, counts, by_rate),
        "learned heat": play(trace, counts, Learning()),
        "knows 14 days": play(trace, counts, Knowing(counts)),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_argument(parser)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    used = versions(["deepseek-store", "numpy"])
    print_head("Tiers by learned heat", used)
    report, costs = Report(versions=used), dict[str, dict[str, float]]()
    for trace in reads(options.traces):
        costs[trace.name] = contest(trace)
    names = list(next(iter(costs.values())))
    print(f"\ncost of 60 days\n{'':26}" + "".join(f"{name:>13}" for name in costs))
    for name in names:
        print(f"{name:26}" + "".join(f"{cost[name]:13.4f}" for cost in costs.values()))
    mine = "learned heat"
    for name in names[:-1]:
        if name != mine:
            ratios = [cost[mine] / cost[name] for cost in costs.values()]
            report.at_most(f"{mine} against {name}, mean of all traces", mean(ratios), 1.0)
    worst = max(cost[mine] / cost["age, 1 and 10 days"] for cost in costs.values())
    report.at_most(f"{mine} against age, 1 and 10 days, worst of all traces", worst, 1.05)
    return report.finish(options.json)


if __name__ == "__main__":
    sys.exit(main())
