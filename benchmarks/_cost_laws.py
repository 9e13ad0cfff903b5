"""Devices whose time follows a known law: what the cost model is held against without a device.

A law is a kind of device; each draw of it has other parameters, over the range in which devices
differ. The prior is linear in the size, as devices give it, and knows nothing of the law.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Sequence

import attrs

from deepseek_core import Estimate
from deepseek_core.schedule.cost import Sample, predict
from deepseek_core.schedule.online.records import RunCost
from deepseek_core.schedule.online.rules import Rules
from deepseek_core.schedule.online.state import Cost

MEASURED = tuple(2**i for i in range(11))
ASKED = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 100, 128, 200, 256, 400, 512, 800, 1024)
NOISE = 0.12  # of a run on a shared machine
_ASKED_EACH = 7


@attrs.frozen
class Device:
    """Seconds of a run by its size, and the factor by which one run differs."""

    seconds: Callable[[int], float]
    luck: Callable[[random.Random], float] = lambda _rng: 1.0

    def run(self, batch: int, rng: random.Random, noise: float = NOISE) -> float:
        """Seconds of one run."""
        return self.seconds(batch) * self.luck(rng) * math.exp(rng.gauss(0.0, noise))


Law = Callable[[random.Random], Device]
"""Draws a device."""


def prior(batch: int) -> Estimate:
    """A fixed part and a part for each item, by a factor of e or so."""
    return Estimate(seconds=5e-5 + 2e-5 * batch, sigma=1.0, source="prior")


def _between(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def constant(rng: random.Random) -> Device:
    """Bound by the launch."""
    seconds = _between(rng, 1e-4, 1e-2)
    return Device(lambda _batch: seconds)


def step(rng: random.Random) -> Device:
    """Another kernel from some size on."""
    low_s, size, factor = _between(rng, 1e-4, 2e-3), _between(rng, 3, 500), _between(rng, 2, 8)
    return Device(lambda batch: low_s * (factor if batch > size else 1.0))


def cliff(rng: random.Random) -> Device:
    """Items beyond the cache cost more."""
    item_s, fixed_s = _between(rng, 4e-6, 1e-4), _between(rng, 1e-5, 3e-4)
    size, factor = _between(rng, 4, 400), _between(rng, 2, 10)
    return Device(
        lambda batch: fixed_s + item_s * (min(batch, size) + factor * max(0.0, batch - size))
    )


def logarithm(rng: random.Random) -> Device:
    """Grows with each doubling by as much."""
    item_s, least = _between(rng, 2e-5, 1e-3), _between(rng, 0.3, 3)
    return Device(lambda batch: item_s * (least + math.log2(batch)))


def bimodal(rng: random.Random) -> Device:
    """Each run is in one of two heaps, as with a clock that is sometimes raised."""
    scale, factor, share = _between(rng, 0.2, 5), _between(rng, 1.5, 4), rng.uniform(0.3, 0.5)
    return Device(
        lambda batch: scale * prior(batch).seconds,
        lambda luck: factor if luck.random() < share else 1.0,
    )


def roofline(rng: random.Random) -> Device:
    """Bound by memory, then by arithmetic."""
    memory_s, item_s = _between(rng, 3e-5, 1e-3), _between(rng, 5e-6, 1e-4)
    return Device(lambda batch: 1e-5 + max(memory_s, item_s * batch))


def linear(rng: random.Random) -> Device:
    """As the prior has it, with other parts."""
    fixed_s, item_s = _between(rng, 1e-5, 3e-4), _between(rng, 5e-6, 1e-4)
    return Device(lambda batch: fixed_s + item_s * batch)


LAWS: dict[str, Law] = {
    "constant": constant,
    "step": step,
    "cache cliff": cliff,
    "logarithm": logarithm,
    "bimodal": bimodal,
    "roofline": roofline,
    "linear": linear,
}


def covered(
    law: Law, num_sizes: int, *, draws: int, runs: int = 3, noise: float = NOISE, seed: int = 0
) -> float:
    """Share of fresh runs within the 90 % interval, of sizes measured and not measured."""
    held = 0
    for draw in range(draws):
        rng = random.Random(f"{seed} {num_sizes} {draw}")
        device = law(rng)
        known = rng.sample(MEASURED, num_sizes)
        samples = [Sample(b, device.run(b, rng, noise)) for b in known for _ in range(runs)]
        for batch in rng.sample(ASKED, _ASKED_EACH):
            low, high = predict(prior, samples, batch).interval_s
            held += low <= device.run(batch, rng, noise) <= high
    return held / draws / _ASKED_EACH


def drifted(rng: random.Random, device: Device, factor: float) -> list[Sample]:
    """Three sizes measured, then eight runs of the middle one on a device slower by a factor."""
    calm = [(b, 1.0) for b in (8, 16, 32) for _ in range(rng.choice((3, 5, 9)))]
    return [Sample(b, f * device.run(b, rng)) for b, f in calm + [(16, factor)] * 8]


def neighbors_missed(law: Law, factor: float, *, draws: int) -> list[float]:
    """Factors by which sizes last measured before a drift are missed after it, sorted."""
    missed = []
    for draw in range(draws):
        rng = random.Random(draw)
        device = law(rng)
        samples = drifted(rng, device, factor)
        for batch in (8, 32):
            off = math.log(predict(prior, samples, batch).seconds / device.seconds(batch) / factor)
            missed.append(math.exp(abs(off)))
    return sorted(missed)


def service_missed(sigma: float, factor: float, *, draws: int) -> float:
    """Median factor by which a served device is missed eight runs after it became slower."""
    missed = []
    for draw in range(draws):
        rng = random.Random(draw)
        cost = Cost(RunCost(item_s=1.0, sigma=sigma))
        for slow in [1.0] * 50 + [factor] * 8:
            cost.learn(1, slow * math.exp(rng.gauss(0.0, sigma)), Rules().learning)
        missed.append(abs(math.log(cost.quantile_s(1, 0.0) / factor)))
    return math.exp(statistics.median(missed))


def quantile(ordered: Sequence[float], share: float) -> float:
    """What such a share keeps to."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]
