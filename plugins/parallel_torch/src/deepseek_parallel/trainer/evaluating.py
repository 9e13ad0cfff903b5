"""Evaluation on all ranks: every sample once, whatever their number."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from deepseek_core import errors
from deepseek_parallel.errors import RankFailed
from deepseek_parallel.ranks import Ranks
from deepseek_parallel.sampling import Order
from deepseek_parallel.trainer.data import moved
from deepseek_parallel.trainer.evaluation import Evaluation, Measure
from deepseek_parallel.trainer.losses import as_float, summed
from deepseek_parallel.trainer.pieces import Piece, cut, equal_shares, mine
from deepseek_parallel.trainer.reading import Reader
from deepseek_parallel.trainer.setup import Setup
from deepseek_parallel.trainer.together import gathered

Sums = dict[str, tuple[float, float]]


def evaluated(wanted: Evaluation, setup: Setup, ranks: Ranks) -> dict[str, float]:
    """The loss and each metric over all samples; equal on all ranks.

    Raises:
        RankFailed: another rank could not compute.
        RankLost: another rank does not answer.
    """
    measures = {"loss": setup.loss, **wanted.metrics}
    batch = wanted.batch or setup.microbatch or -(-setup.batch // ranks.size)
    length = wanted.data.length
    pieces = cut(0, length, -(-length // batch))
    own = mine(pieces, equal_shares(len(pieces), ranks.size), ranks.rank)
    sums: Sums = {}
    failure: Exception | None = None
    was_training = setup.model.training
    setup.model.eval()
    try:
        sums = _own_sums(wanted, setup, measures, own)
    except Exception as error:  # noqa: BLE001 - of the user's code; the other ranks must hear of it
        failure = error
    finally:
        setup.model.train(was_training)
    told = gathered((sums, None if failure is None else _said(failure)), ranks)
    if failure is not None:
        raise failure
    for rank, (_, said) in enumerate(told):
        if said is not None:
            raise RankFailed(
                f"rank {rank} failed in the evaluation: {said}",
                rank=rank,
                remedy="see the log of that rank",
            )
    return {name: _mean(name, [own[name] for own, _ in told]) for name in measures}


def _own_sums(
    wanted: Evaluation, setup: Setup, measures: Mapping[str, Measure], own: list[Piece]
) -> Sums:
    reader = Reader(wanted.data, Order(wanted.data.length, shuffle=False), 0)
    sums: Sums = dict.fromkeys(measures, (0.0, 0.0))
    try:
        with torch.no_grad():
            for number, piece in enumerate(own):
                reader.prepare(own[number : number + 1 + 2 * wanted.data.workers])
                given = moved(reader.read(piece), setup.precision.device)
                with setup.precision.context():
                    for name, measure in measures.items():
                        total, count = summed(measure(setup.model, given), piece.count)
                        before = sums[name]
                        sums[name] = before[0] + as_float(total), before[1] + as_float(count)
    finally:
        reader.close()
    return sums


def _mean(name: str, sums: list[tuple[float, float]]) -> float:
    count = math.fsum(count for _, count in sums)
    if not count:
        raise errors.InputError(
            f"{name} went over no item in the whole evaluation", remedy="see what it leaves out"
        )
    return math.fsum(total for total, _ in sums) / count


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
