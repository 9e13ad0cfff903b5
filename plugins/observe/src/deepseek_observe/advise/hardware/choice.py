"""Which device, and how many: what fits, how long it takes, and what speaks against it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from deepseek_core import errors, training
from deepseek_observe.advise.hardware.catalogue import DEVICES, PROCESSORS, Device
from deepseek_observe.advise.hardware.iteration import EFFICIENCY, USABLE, Iteration, iterate
from deepseek_observe.advise.hardware.model import Shape

_MOST_NODES: Final = 4096
_OVERHEAD: Final = 1.3  # fans, network, losses; with the hosts' own processors beside it
_BUDGET: Final = re.compile(r"(\d{1,12}(?:\.\d{1,6})?)\s*(gpus?|h|d|w|kw|mw|usd)", re.IGNORECASE)
TOKENS_PER_PARAMETER: Final = 20
"""Compute-optimal training: Hoffmann et al., arXiv 2203.15556."""


@attrs.frozen(kw_only=True)
class Budget:
    """What may be spent; None is no bound. `usd` needs the user's own prices."""

    gpus: int | None = None
    seconds: float | None = None
    watts: float | None = None
    usd: float | None = None


def budget_of(words: Sequence[str]) -> Budget:
    """`64gpus`, `30d`, `40kW`, `50000usd`, any of them together.

    Raises:
        ConfigError: a word that is not a budget, or a kind that is given twice.
    """
    found: dict[str, float] = {}
    for word in words:
        match = _BUDGET.fullmatch(word.strip())
        if match is None or float(match[1]) <= 0:
            raise errors.ConfigError(
                f"{word!r} is not a budget", remedy="write --budget 64gpus, 30d, 40kW or 50000usd"
            )
        unit, amount = match[2].lower(), float(match[1])
        kind, scale = {
            "gpu": ("gpus", 1.0), "gpus": ("gpus", 1.0), "h": ("seconds", 3600.0),
            "d": ("seconds", 86400.0), "w": ("watts", 1.0), "kw": ("watts", 1e3),
            "mw": ("watts", 1e6), "usd": ("usd", 1.0),
        }[unit]  # fmt: skip
        if kind in found:
            raise errors.ConfigError(f"{kind} is bounded twice", remedy="give each kind once")
        found[kind] = amount * scale
    gpus = found.pop("gpus", None)
    if gpus is not None and (gpus != int(gpus)):
        raise errors.ConfigError(f"{gpus} GPUs", remedy="give a whole number: --budget 64gpus")
    return Budget(gpus=None if gpus is None else int(gpus), **found)


def prices_of(words: Sequence[str]) -> dict[str, float]:
    """`a100-80g=1.5` -> dollars an hour for one GPU, by device.

    Raises:
        ConfigError: a device that is unknown, or no price.
    """
    found = {}
    for word in words:
        name, _, price = word.partition("=")
        if name not in DEVICES or not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", price):
            raise errors.ConfigError(
                f"{word!r} is not a price",
                remedy=f"write --price a100-80g=1.50, dollars an hour; known: {', '.join(DEVICES)}",
            )
        found[name] = float(price)
    return found


@attrs.frozen(kw_only=True)
class Choice:
    """So many systems of one device: what they hold and take, and what they break.

    `missing` says of each bound that is not kept by how much; `against` what the data say of it.
    """

    device: Device
    nodes: int
    least_gpus: int
    recompute: str
    memory_nbytes: float
    step: Iteration
    seconds: float
    watts: float
    usd: float | None
    missing: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    @property
    def gpus(self) -> int:
        """All of them."""
        return self.nodes * self.device.per_node

    @property
    def kwh(self) -> float:
        """Energy of the whole training."""
        return self.watts * self.seconds / 3.6e6


def choose(
    shape: Shape,
    budget: Budget,
    *,
    tokens: float | None = None,
    step_tokens: float = 4e6,
    prices: Mapping[str, float] | None = None,
) -> tuple[Choice, ...]:
    """All devices: those that keep the budget first, then by energy.

    `tokens` of the whole training: 20 a parameter where not given.

    Raises:
        ConfigError: a budget in money without a price.
    """
    prices = prices or {}
    if budget.usd is not None and not prices:
        raise errors.ConfigError(
            "a budget in dollars needs prices, which differ by day and seller",
            remedy="add --price a100-80g=1.50 --price h100-80g=2.50, dollars an hour for one GPU",
        )
    whole = TOKENS_PER_PARAMETER * shape.parameters if tokens is None else tokens
    found = [
        _chosen(device, shape, budget, (whole, step_tokens), prices.get(device.name))
        for device in DEVICES.values()
        if budget.usd is None or device.name in prices
    ]
    found.sort(key=lambda one: (len(one.missing), one.usd if budget.usd else one.kwh, one.gpus))
    return tuple(attrs.evolve(one, against=_against(one, found, shape)) for one in found)


def _chosen(
    device: Device, shape: Shape, budget: Budget, tokens: tuple[float, float], price: float | None
) -> Choice:
    if budget.gpus is not None and budget.gpus < device.per_node:
        device = attrs.evolve(device, per_node=budget.gpus)
    least, recompute = _least_gpus(device, shape)
    nodes = -(-least // device.per_node)
    ranks_most = max(1, int(tokens[1] // shape.sequence))
    most = max(nodes, min(_MOST_NODES, ranks_most // device.per_node))
    if budget.gpus is not None:
        most = max(nodes, min(most, budget.gpus // device.per_node))
    if budget.watts is not None:
        most = max(nodes, min(most, int(budget.watts // _watts(device, 1))))
    if budget.seconds is not None or budget.usd is not None:
        nodes = _enough(device, shape, tokens, (nodes, most), (budget, price, recompute))
    elif budget.gpus is not None or budget.watts is not None:
        nodes = most
    step, seconds = _duration(device, shape, tokens, nodes, recompute)
    usd = None if price is None else price * nodes * device.per_node * seconds / 3600
    made = Choice(
        device=device, nodes=nodes, least_gpus=least, recompute=recompute,
        memory_nbytes=step.needed_nbytes,
        step=step, seconds=seconds, watts=_watts(device, nodes), usd=usd,
    )  # fmt: skip
    return attrs.evolve(made, missing=_missing(made, budget))


def _least_gpus(device: Device, shape: Shape) -> tuple[int, str]:
    """The fewest that hold a sequence each, and what must be recomputed for it."""
    for recompute in ("selective", "full"):
        count = 1
        while count <= _MOST_NODES * device.per_node:
            need = shape.needed_nbytes(count, device.per_node, recompute)
            if need <= device.memory_nbytes * USABLE:
                return count, recompute
            count *= 2
    return _MOST_NODES * device.per_node, "full"


def _enough(
    device: Device, shape: Shape, tokens: tuple[float, float], span: tuple[int, int],
    bounds: tuple[Budget, float | None, str],
) -> int:  # fmt: skip
    """The fewest nodes that end in time; time falls with each node, so halving finds them."""
    budget, _, recompute = bounds
    if budget.seconds is None:
        return span[0]
    low, high = span
    while low < high:
        middle = (low + high) // 2
        if _duration(device, shape, tokens, middle, recompute)[1] <= budget.seconds:
            high = middle
        else:
            low = middle + 1
    return low


def _duration(
    device: Device, shape: Shape, tokens: tuple[float, float], nodes: int, recompute: str
) -> tuple[Iteration, float]:
    cluster = training.Cluster(groups=(device.group(nodes),))
    whole, step = tokens
    found = iterate(cluster, shape, max(step, float(cluster.world)), recompute=recompute)
    return found, whole / found.tokens * (found.least_s + found.most_s) / 2


def _watts(device: Device, nodes: int) -> float:
    hosts = 2 * PROCESSORS[device.host].watts
    return nodes * _OVERHEAD * (device.per_node * device.watts + hosts)


def _missing(made: Choice, budget: Budget) -> tuple[str, ...]:
    found = []
    if made.memory_nbytes > made.device.memory_nbytes * USABLE:
        found.append(f"{made.memory_nbytes / 2**30:.0f} GiB a GPU do not fit")
    if budget.gpus is not None and made.gpus > budget.gpus:
        found.append(f"{made.gpus} GPUs, {budget.gpus} allowed")
    if budget.seconds is not None and made.seconds > budget.seconds * 1.0001:
        found.append(f"{made.seconds / 86400:.3g} days, {budget.seconds / 86400:.3g} allowed")
    if budget.watts is not None and made.watts > budget.watts:
        found.append(f"{made.watts / 1e3:.3g} kW, {budget.watts / 1e3:.3g} allowed")
    if budget.usd is not None and made.usd is not None and made.usd > budget.usd:
        found.append(f"{made.usd:,.0f} USD, {budget.usd:,.0f} allowed")
    return tuple(found)


def _against(one: Choice, every: Sequence[Choice], shape: Shape) -> tuple[str, ...]:
    device, host = one.device, PROCESSORS[one.device.host]
    found = []
    better = [
        other
        for other in every
        if other.kwh < one.kwh * 0.9 and len(other.missing) <= len(one.missing)
    ]
    if better:
        best = min(better, key=lambda other: other.kwh)
        found.append(
            f"{best.device.name} takes {best.kwh / one.kwh:.0%} of the energy, with {best.gpus} "
            f"GPUs in {best.seconds / one.seconds:.0%} of the time"
        )
    if "fp8" not in device.flops_per_s:
        found.append("no FP8, which doubles the rate of later devices")
    if "bf16" not in device.flops_per_s:
        found.append("no bfloat16: float16 needs loss scaling")
    if device.pcie_bytes_per_s < 64e9:
        found.append(f"{device.pcie_bytes_per_s / 1e9:.0f} GB/s to the host, and PCIe 5.0 has 64")
    if device.inside_bytes_per_s < 100e9:
        found.append(
            f"no direct links: {device.inside_bytes_per_s / 1e9:.0f} GB/s between GPUs; tensor "
            "parallelism is slow on it"
        )
    lanes = device.per_node * 2 * 16
    if lanes > host.pair_lanes:
        found.append(
            f"two {host.told} have {host.pair_lanes} PCIe lanes at most for {lanes}: GPUs and "
            "adapters share switches"
        )
    if one.step.bound == "exchange":
        found.append(
            f"bound by the exchange: {one.step.exchange_s:.3g} s a step beside "
            f"{one.step.compute_s:.3g} s of computing"
        )
    if one.recompute == "full":
        found.append("fits only if all activations are recomputed: a third more operations")
    balance = device.peak * EFFICIENCY / device.memory_bytes_per_s
    if balance > shape.sequence:
        found.append(f"{balance:.0f} operations a byte: one sequence does not keep it busy")
    return tuple(found)
