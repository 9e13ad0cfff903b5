"""The whole model on each rank: no rank waits for another one while it computes."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Final

import torch
from torch.optim import Optimizer

from deepseek_parallel.ranks import Ranks
from deepseek_parallel.sampling import Order
from deepseek_parallel.strategies.losses import as_float, check_gradient, summed
from deepseek_parallel.trainer.buffers import Buffers
from deepseek_parallel.trainer.data import moved
from deepseek_parallel.trainer.descent import Descent, whole_nbytes
from deepseek_parallel.trainer.evaluation import Evaluation, Measure
from deepseek_parallel.trainer.part import IN_EVALUATION, Sums
from deepseek_parallel.trainer.pieces import Piece, cut, equal_shares, mine
from deepseek_parallel.trainer.reading import Reader
from deepseek_parallel.trainer.seeding import begin_at
from deepseek_parallel.trainer.setup import Setup
from deepseek_parallel.trainer.sharing import Shares
from deepseek_parallel.trainer.sums import LEAST_SAMPLES, warn_of_sum
from deepseek_parallel.trainer.tally import Tally, Totals
from deepseek_parallel.trainer.together import gathered, raise_failed, said_of


class Replica:
    """A model that each rank holds, with its own microbatches; a `Part`."""

    is_renewable: Final = True
    mesh: Final[Mapping[str, int]] = {}

    def __init__(self, setup: Setup, ranks: Ranks, descent: Descent, shares: Shares) -> None:
        self._setup, self._ranks = setup, ranks
        self.descent, self._shares = descent, shares
        self._buffers = Buffers(setup.model)

    @property
    def optimizer(self) -> Optimizer:
        """What takes the steps."""
        return self.descent.optimizer

    def pieces(self, position: int, count: int) -> list[Piece]:
        """The microbatches of this rank in a step of `count` samples."""
        wanted = self._setup.num_pieces(count, self._ranks.size)
        pieces = cut(position, count, self._shares.cut(count, wanted))
        return mine(pieces, self._shares.of(len(pieces)), self._ranks.rank)

    def compute(self, reader: Reader, pieces: Sequence[Piece]) -> tuple[Tally, Exception | None]:
        """Leave the gradient of the summed loss; what was done, and what failed."""
        setup = self._setup
        for param in setup.model.parameters():
            param.grad = None
        setup.model.train()
        self._buffers.note()
        tally = Tally(microbatches=len(pieces))
        begin_s, failure = setup.clock(), None
        try:
            self._look_at_loss(reader, pieces)
            begin_s = setup.clock()  # balance goes by what the step takes
            for piece in pieces:
                total, count = self._one(reader, piece)
                tally.loss_sum += total
                tally.count += count
        except Exception as error:  # noqa: BLE001 - of the user's code; the others must hear of it
            failure, tally.failed = error, True
        tally.seconds = setup.clock() - begin_s
        tally.gradients = [param.grad is not None for _, param in setup.params]
        tally.buffers = self._buffers.changed()
        return tally, failure

    def _look_at_loss(self, reader: Reader, pieces: Sequence[Piece]) -> None:
        """Before the first step of a training, where it is cut: on the rank that begins it."""
        setup = self._setup
        is_cut = self._ranks.size > 1 or setup.microbatch is not None
        if not is_cut or not pieces or pieces[0].position or pieces[0].count < LEAST_SAMPLES:
            return
        parts = [*cut(0, pieces[0].count, 2), pieces[0]]
        batches = [moved(reader.read(part), setup.precision.device) for part in parts]
        with setup.precision.context():
            warn_of_sum(setup.loss, setup.model, batches, pieces[0].count)

    def _one(self, reader: Reader, piece: Piece) -> tuple[float, float]:
        setup = self._setup
        batch = moved(reader.read(piece), setup.precision.device)
        begin_at(setup.seed, piece.position)
        with setup.precision.context():
            total, count = summed(setup.loss(setup.model, batch), piece.count)
        check_gradient(total)
        total.backward()
        return as_float(total), as_float(count)

    def step(self, totals: Totals) -> float | None:
        """Make buffers one on all ranks, add the gradients and take the step."""
        self._buffers.merge(totals.buffers, totals.microbatches, self._ranks)
        return self.descent.step(totals, self._ranks)

    def undo(self) -> None:
        """Put back the buffers."""
        self._buffers.undo()

    def observe(self, seconds: Sequence[float]) -> None:
        """Let the shares follow the speeds."""
        self._shares.observe(seconds)

    def measured(self, wanted: Evaluation, measures: Mapping[str, Measure]) -> list[Sums]:
        """What each rank has measured on its pieces."""
        setup, ranks = self._setup, self._ranks
        batch = wanted.batch or setup.microbatch or -(-setup.batch // ranks.size)
        length = wanted.data.length
        pieces = cut(0, length, -(-length // batch))
        own = mine(pieces, equal_shares(len(pieces), ranks.size), ranks.rank)
        sums: Sums = {}
        failure: Exception | None = None
        was_training = setup.model.training
        setup.model.eval()
        try:
            sums = self._own_sums(wanted, measures, own)
        except Exception as error:  # noqa: BLE001 - of the user's code; the others must hear of it
            failure = error
        finally:
            setup.model.train(was_training)
        told = gathered((sums, said_of(failure)), ranks)
        raise_failed([said for _, said in told], failure, *IN_EVALUATION)
        return [sums for sums, _ in told]

    def _own_sums(
        self, wanted: Evaluation, measures: Mapping[str, Measure], own: list[Piece]
    ) -> Sums:
        setup = self._setup
        reader = Reader(wanted.data, Order(wanted.data.length, shuffle=False), 0)
        sums = dict.fromkeys(measures, (0.0, 0.0))
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

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a checkpoint holds of the model and of the optimizer."""
        return self._setup.model.state_dict(), self.optimizer.state_dict()

    def places(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where a checkpoint is loaded into."""
        return self.state()

    def restore(self, model: MutableMapping[str, Any], optimizer: MutableMapping[str, Any]) -> None:
        """Take what was loaded into `places()`."""
        self._setup.model.load_state_dict(model)
        self.optimizer.load_state_dict(dict(optimizer))

    @property
    def wire_nbytes(self) -> int:
        """Bytes of gradients that all ranks together send in a step."""
        return self.descent.wire_nbytes

    @property
    def whole_nbytes(self) -> int:
        """The same without compression."""
        return whole_nbytes(self._setup.params, self._ranks.size)
