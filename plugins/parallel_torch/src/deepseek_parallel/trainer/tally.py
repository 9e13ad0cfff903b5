"""What each rank did in a step, told to all in one small message before the gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import attrs
import torch

from deepseek_parallel.ranks import Ranks
from deepseek_parallel.trainer.together import add


@attrs.define(kw_only=True)
class Tally:
    """What one rank did: the sum of its loss over `count` items, and how long it took to compute.

    `failed` says that it could not compute; `stop` asks all to end after this step, `save` to save
    then. `gradients` and `buffers` say which of them it has, or has changed.
    """

    loss_sum: float = 0.0
    count: float = 0.0
    microbatches: int = 0
    seconds: float = 0.0
    failed: bool = False
    stop: bool = False
    save: bool = False
    gradients: Sequence[bool] = ()
    buffers: Sequence[bool] = ()


@attrs.frozen(kw_only=True)
class Totals:
    """What all ranks did; `seconds`, `failed`, `bad_loss` and `microbatches` by rank."""

    loss_sum: float
    count: float
    stop: bool
    save: bool
    seconds: tuple[float, ...]
    failed: tuple[bool, ...]
    bad_loss: tuple[bool, ...]
    microbatches: tuple[int, ...]
    gradients: tuple[bool, ...]
    buffers: tuple[bool, ...]


def totals_of(tally: Tally, ranks: Ranks, place: torch.device) -> Totals:
    """Add the tallies of all ranks; equal on all.

    Raises:
        RankLost: another rank does not answer.
    """
    is_bad = not (math.isfinite(tally.loss_sum) and math.isfinite(tally.count))
    own = (tally.seconds, tally.failed, is_bad, tally.microbatches)
    by_rank = torch.zeros(len(own), ranks.size, dtype=torch.float64)
    by_rank[:, ranks.rank] = torch.tensor([float(value) for value in own], dtype=torch.float64)
    sums = [0.0, 0.0] if is_bad else [tally.loss_sum, tally.count]
    flat = [*sums, tally.stop, tally.save, *tally.gradients, *tally.buffers]
    vector = torch.cat([torch.tensor(flat, dtype=torch.float64), by_rank.reshape(-1)]).to(place)
    add(vector, ranks)
    found: list[float] = vector.tolist()
    begin, more = 4, 4 + len(tally.gradients)
    end = more + len(tally.buffers)
    rows = [found[end + n * ranks.size : end + (n + 1) * ranks.size] for n in range(len(own))]
    return Totals(
        loss_sum=found[0],
        count=found[1],
        stop=found[2] > 0,
        save=found[3] > 0,
        seconds=tuple(rows[0]),
        failed=tuple(value > 0 for value in rows[1]),
        bad_loss=tuple(value > 0 for value in rows[2]),
        microbatches=tuple(round(value) for value in rows[3]),
        gradients=tuple(value > 0 for value in found[begin:more]),
        buffers=tuple(value > 0 for value in found[more:end]),
    )


def tally_nbytes(gradients: int, buffers: int, ranks: int) -> int:
    """Bytes of the message."""
    return 8 * (4 + gradients + buffers + 4 * ranks)
