"""How a step is taken once all know the count: whole gradients, or the largest 1 %."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import torch
from torch.optim import SGD, Optimizer

from deepseek_core import errors
from deepseek_parallel.codec.compressor import TopK
from deepseek_parallel.ranks import Ranks
from deepseek_parallel.sgd import CompressedSGD
from deepseek_parallel.trainer.gradients import Named, average
from deepseek_parallel.trainer.tally import Totals

_OF_SGD: Final = {"dampening": 0, "nesterov": False, "maximize": False}
"""What SGD may do and CompressedSGD does not, and how it must be set."""


class Descent(Protocol):
    """Adds the gradients of all ranks and lets an optimizer take the step."""

    optimizer: Optimizer

    def step(self, totals: Totals, ranks: Ranks) -> float | None:
        """Take it; the norm of the gradient, where it is known.

        Raises:
            NotFiniteGradient: of a rank; on all at once, and nothing has changed.
            RankLost: another rank does not answer.
        """
        ...

    @property
    def wire_nbytes(self) -> int:
        """Bytes of gradients that all ranks together send in a step."""
        ...


class Whole:
    """Every gradient in full, added by an all-reduce."""

    def __init__(
        self, optimizer: Optimizer, params: Sequence[Named], clip: float | None, ranks: Ranks
    ) -> None:
        self.optimizer, self._params, self._clip = optimizer, params, clip
        self._size = ranks.size

    def step(self, totals: Totals, ranks: Ranks) -> float | None:
        """Take it; what has no gradient on any rank has none here."""
        pairs = zip(self._params, totals.gradients, strict=True)
        norm = average([one for one, has in pairs if has], totals.count, ranks, self._clip)
        self.optimizer.step()
        return norm

    @property
    def wire_nbytes(self) -> int:
        """Bytes of a ring all-reduce."""
        return whole_nbytes(self._params, self._size)


class Largest:
    """The largest of each rank's gradient, by `CompressedSGD`."""

    def __init__(self, optimizer: CompressedSGD, source: Optimizer, params: Sequence[Any]) -> None:
        self.optimizer, self._source, self._params = optimizer, source, params

    def step(self, totals: Totals, ranks: Ranks) -> float | None:
        """Take it, with the learning rates that the user's optimizer has now."""
        for mine, theirs in zip(
            self.optimizer.param_groups, self._source.param_groups, strict=True
        ):
            mine["lr"] = theirs["lr"]
        scale = ranks.size / totals.count  # it takes the mean over ranks of what each has
        for _, param in self._params:
            if param.grad is not None:
                param.grad.mul_(scale)
        self.optimizer.step()
        return None

    @property
    def wire_nbytes(self) -> int:
        """With the headers of gloo and TCP."""
        return int(self.optimizer.wire_nbytes)


def whole_nbytes(params: Sequence[Named], ranks: int) -> int:
    """Bytes that all ranks send in an all-reduce of these gradients, without headers."""
    each = sum(p.numel() * (8 if p.element_size() == 8 else 4) for _, p in params)
    return int(2 * (ranks - 1) * each)


def ratio_of(compress: Any) -> float | None:
    """The share of values that is sent; None for all.

    Raises:
        ConfigError: it is no share.
    """
    ratio = compress.ratio if isinstance(compress, TopK) else compress
    if ratio is None:
        return None
    if isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 < ratio <= 1:
        raise errors.ConfigError(
            f"compress is {compress!r}", remedy="give the share of values to send: compress=0.01"
        )
    return float(ratio)


def check_compressed(optimizer: Optimizer, ratio: float | None, clip: float | None) -> None:
    """Refuse what can't be had with compressed gradients.

    Raises:
        ConfigError: another optimizer than plain SGD, or a clip.
    """
    is_given = isinstance(optimizer, CompressedSGD)
    if ratio is None and not is_given:
        return
    if clip is not None:
        raise errors.ConfigError(
            "clip needs the norm of the whole gradient, which no rank has when they are compressed",
            remedy="leave clip or compress out",
        )
    if is_given and ratio is None:
        return
    if type(optimizer) is not SGD:
        raise errors.ConfigError(
            f"compress takes the place of torch.optim.SGD, and this is {type(optimizer).__name__}",
            remedy="give torch.optim.SGD(..., momentum=0.9), or leave compress out",
        )
    momenta = {group["momentum"] for group in optimizer.param_groups}
    if len(momenta) > 1:
        raise errors.ConfigError(
            "compress takes one momentum for all groups", remedy="give them the same"
        )
    for group in optimizer.param_groups:
        for name, plain in _OF_SGD.items():
            if group[name] != plain:
                raise errors.ConfigError(
                    f"compress can't be had with {name}={group[name]}", remedy=f"leave {name} out"
                )


def descent_of(
    optimizer: Optimizer,
    params: Sequence[Named],
    ranks: Ranks,
    *,
    ratio: float | None,
    clip: float | None,
) -> Descent:
    """The way to step with these ranks; one that is alone has nothing to compress.

    Raises:
        StateMismatch: the ranks have other parameters or settings.
        RankLost: another rank does not answer.
    """
    if isinstance(optimizer, CompressedSGD):
        return Largest(optimizer, optimizer, params)
    if ratio is None or ranks.group is None:
        return Whole(optimizer, params, clip, ranks)
    kept = ("params", "lr", "weight_decay")
    compressed = CompressedSGD(
        [{name: group[name] for name in kept} for group in optimizer.param_groups],
        lr=optimizer.param_groups[0]["lr"],
        momentum=optimizer.param_groups[0]["momentum"],
        ratio=ratio,
        group=ranks.group,
    )
    return Largest(compressed, optimizer, params)


def settle(optimizer: Optimizer, state: Any, params: Sequence[Named]) -> None:
    """Take what waited to be sent, where a rank is left alone; its momentum goes on in SGD."""
    rates = [group["lr"] for group in optimizer.param_groups for _ in group["params"]]
    for (_, param), rate, held in zip(params, rates, state["state"].values(), strict=True):
        with torch.no_grad():
            param.sub_((held["residual"] + held["left"]).to(param))
        if rate > 0:
            optimizer.state[param]["momentum_buffer"] = (held["velocity"] / rate).to(param)
