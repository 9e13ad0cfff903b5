"""Forward and backward of a rank's microbatches; no rank hears of another one here."""

from __future__ import annotations

from collections.abc import Sequence

from deepseek_parallel.trainer.buffers import Buffers
from deepseek_parallel.trainer.data import moved
from deepseek_parallel.trainer.losses import as_float, check_gradient, summed
from deepseek_parallel.trainer.pieces import Piece
from deepseek_parallel.trainer.reading import Reader
from deepseek_parallel.trainer.seeding import begin_at
from deepseek_parallel.trainer.setup import Setup
from deepseek_parallel.trainer.tally import Tally


def compute(
    setup: Setup, reader: Reader, buffers: Buffers, pieces: Sequence[Piece]
) -> tuple[Tally, Exception | None]:
    """Leave the gradient of the summed loss in the parameters; what was done, and what failed."""
    for param in setup.model.parameters():
        param.grad = None
    setup.model.train()
    buffers.note()
    tally = Tally(microbatches=len(pieces))
    begin_s, failure = setup.clock(), None
    try:
        for piece in pieces:
            total, count = _one(setup, reader, piece)
            tally.loss_sum += total
            tally.count += count
    except Exception as error:  # noqa: BLE001 - of the user's code; the other ranks must hear of it
        failure, tally.failed = error, True
    tally.seconds = setup.clock() - begin_s
    tally.gradients = [param.grad is not None for _, param in setup.params]
    tally.buffers = buffers.changed()
    return tally, failure


def _one(setup: Setup, reader: Reader, piece: Piece) -> tuple[float, float]:
    batch = moved(reader.read(piece), setup.precision.device)
    begin_at(setup.seed, piece.position)
    with setup.precision.context():
        total, count = summed(setup.loss(setup.model, batch), piece.count)
    check_gradient(total)
    total.backward()
    return as_float(total), as_float(count)
