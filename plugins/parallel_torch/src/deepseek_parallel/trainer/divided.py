"""A model divided over a mesh: ranks compute a step together, and wait for each other in it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Final

import attrs
import torch
import torch.distributed as dist

from deepseek_core import errors, training
from deepseek_parallel.elastic import sockets
from deepseek_parallel.errors import NotFiniteGradient, RankLost
from deepseek_parallel.ranks import Ranks, StaticRanks
from deepseek_parallel.sampling import Order
from deepseek_parallel.strategies.applying import schedule_of
from deepseek_parallel.strategies.losses import as_float, check_gradient, summed
from deepseek_parallel.strategies.norm import local
from deepseek_parallel.strategies.split import Split
from deepseek_parallel.strategies.splitting import split
from deepseek_parallel.trainer.buffers import Buffers
from deepseek_parallel.trainer.data import moved
from deepseek_parallel.trainer.evaluation import Evaluation, Measure
from deepseek_parallel.trainer.gradients import not_finite
from deepseek_parallel.trainer.held import Held
from deepseek_parallel.trainer.part import IN_EVALUATION, Sums
from deepseek_parallel.trainer.pieces import Piece, cut, even, in_step
from deepseek_parallel.trainer.reading import Reader
from deepseek_parallel.trainer.seeding import begin_at
from deepseek_parallel.trainer.setup import Setup
from deepseek_parallel.trainer.tally import Tally, Totals
from deepseek_parallel.trainer.together import add, gathered, place, raise_failed, said_of

_SAMPLES: Final = 2
"""Of the batch on which layers are counted."""


@attrs.frozen(eq=False)
class _Given:
    """A microbatch on its way through the mesh, of `count` samples; a `filler` does not count."""

    batch: Any
    count: int
    filler: bool = False
    position: int = 0


class Divided:
    """The part of a model that this rank holds on a mesh; a `Part`."""

    is_renewable: Final = False

    def __init__(self, setup: Setup, ranks: Ranks) -> None:
        choice = setup.choice
        assert choice is not None
        if ranks.size != dist.get_world_size():
            raise errors.ConfigError(
                f"these are {ranks.size} of {dist.get_world_size()} ranks",
                remedy='let all of them train, or use strategy="ddp"',
            )
        self._setup, self._ranks, self.optimizer = setup, ranks, setup.optimizer
        before = sockets.opened()
        samples = range(min(_SAMPLES, setup.data.length))
        sample = moved(setup.data.read(samples), setup.precision.device)
        found = split(
            setup.model, self._counted(setup.loss, checked=False), _Given(sample, len(samples)),
            batch=setup.batch, strategy=choice.name, options=choice.options, layers=choice.layers,
        )  # fmt: skip
        if not isinstance(found.model, Split):
            raise errors.ConfigError(
                f"the strategy {choice.name} makes a {type(found.model).__name__}",
                remedy="train it in a loop of your own; see split()",
            )
        # connections of the axes, which end when this rank fails in a pass: others wait there
        self._ends = sockets.made_since(before, ranks.group)
        self._failed = ""  # what has ended them
        # what this rank holds, and how large microbatches are
        self._split, self._plan = found.model, found.plan
        self.mesh: Mapping[str, int] = dict(found.plan.mesh.sizes)
        # how many there are of each; `_stage` is the one that this rank has
        self._replicas, self._stages = self._split.num_replicas, self.mesh.get("pp", 1)
        axes = self._split.mesh
        self._stage = axes.get_local_rank("pp")
        # one rank of each replica tells what that has computed: the one that has the loss
        self._tells = self._stage == self._stages - 1 and axes.get_local_rank("tp") == 0
        # states of its parameters and of its buffers, as the whole model has them
        self._held = Held(setup, self._split)
        self._buffers = Buffers(torch.nn.ModuleList(self._split.modules))
        # the ranks that hold the same as this one
        self._alike = StaticRanks(self._split.replica, self._replicas, axes.get_group("dp"))
        self._place = place(ranks, setup.precision.device)  # of what ranks tell each other
        self._sums = training.Sums(0.0, 0.0)  # of the last step
        self.wire_nbytes = self._gradient_nbytes()
        if self._stages > 1 and setup.precision.kind != "fp32":
            for module in self._split.modules:  # the schedule goes backward between two of them
                module.forward = setup.precision.context()(module.forward)  # type: ignore[operator]

    def pieces(self, position: int, count: int) -> list[Piece]:
        """The microbatches of this rank's replica in a step of `count` samples."""
        if not count:
            return []
        most = min(self._plan.micro, -(-count // self._replicas))
        if self._stages > 1:
            is_multiple = schedule_of(self._plan) != "1f1b"
            return self._own(even(position, count, most), multiple=is_multiple)
        return self._own(cut(position, count, -(-count // most)))

    def _own(self, pieces: Sequence[Piece], *, multiple: bool = False) -> list[Piece]:
        return in_step(
            pieces, self._replicas, self._split.replica, stages=self._stages, multiple=multiple
        )

    def compute(self, reader: Reader, pieces: Sequence[Piece]) -> tuple[Tally, Exception | None]:
        """Leave the gradient of the summed loss; what was done, and what failed in reading."""
        setup = self._setup
        begin_s = setup.clock()
        self._buffers.note()
        given, failure = self._read(reader, pieces)
        if self._any(failure is not None):
            return Tally(failed=failure is not None), failure
        for _, param in self._split.named_parameters():
            param.grad = None
        for module in self._split.modules:
            module.train()
        begin_at(setup.seed, pieces[0].position, self._stage)
        loss = self._counted(setup.loss, checked=self._stages == 1)
        try:
            self._sums = self._split.backward(given, loss)
        except Exception as error:  # noqa: BLE001 - most are of the user's code
            self._set_free(error)
            return Tally(failed=True), error
        told = self._sums if self._tells else training.Sums(0.0, 0.0)
        tally = Tally(
            loss_sum=told.loss, count=told.items, microbatches=len(pieces),
            seconds=setup.clock() - begin_s,
        )  # fmt: skip
        return tally, None

    def _set_free(self, error: Exception) -> None:
        """End the connections of the mesh, so that who waits there does so too.

        All are told of the error where they meet: by the group of all ranks.
        """
        if isinstance(error, RankLost) and "timed out" in str(error).lower():
            raise error  # a rank hangs, and won't be met either
        self._failed = f"{type(error).__name__}: {error}".splitlines()[0]
        sockets.cut(self._ends)

    def _read(
        self, reader: Reader, pieces: Sequence[Piece]
    ) -> tuple[list[_Given], Exception | None]:
        """Read before any rank waits for this one."""
        try:
            if self._failed:
                raise errors.ConfigError(
                    f"the mesh has ended by an error: {self._failed}",
                    remedy="start the ranks again, and go on from a checkpoint: fit(resume=True)",
                )
            device = self._setup.precision.device
            return [
                _Given(moved(reader.read(piece), device), piece.count, piece.filler, piece.position)
                for piece in pieces
            ], None
        except Exception as error:  # noqa: BLE001 - of the user's code; the others must hear of it
            return [], error

    def _counted(self, measure: Measure, *, checked: bool) -> training.Loss:
        """The loss as a strategy takes it: sum and count of a microbatch."""

        def loss(model: Any, given: _Given) -> tuple[Any, float]:
            if checked and torch.is_grad_enabled():  # as in one process
                begin_at(self._setup.seed, given.position)
            with self._setup.precision.context():
                total, count = summed(measure(model, given.batch), given.count)
            if checked and torch.is_grad_enabled():
                check_gradient(total)
            return (total * 0, 0.0) if given.filler else (total, as_float(count))

        return loss

    def _any(self, mine: bool) -> bool:
        told = torch.tensor([float(mine)], device=self._place)
        add(told, self._ranks)
        return bool(told > 0)

    def step(self, totals: Totals) -> float | None:
        """Add the gradients over replicas, clip them by the norm of all parts, take the step."""
        self._merge_buffers()
        self._split.reduce(self._sums)
        norm = self._split.clip(math.inf if self._setup.clip is None else self._setup.clip)
        if not math.isfinite(norm):
            raise self._not_finite()
        self._held.step()
        return norm

    def _merge_buffers(self) -> None:
        changed = self._buffers.changed()
        if self._replicas > 1 and changed:
            told = torch.tensor([float(one) for one in changed], device=self._place)
            add(told, self._alike)
            has = [bool(one > 0) for one in told.cpu()]
            self._buffers.merge(has, [1] * self._replicas, self._alike)

    def _not_finite(self) -> NotFiniteGradient:
        for number, param in self._held.params.items():
            if param.grad is not None and not torch.isfinite(local(param.grad)).all():
                return not_finite((number, self._held.names[number]), self._ranks)
        return not_finite(None, self._ranks)

    def undo(self) -> None:
        """Put back the buffers."""
        self._buffers.undo()

    def observe(self, seconds: Sequence[float]) -> None:
        """Nothing: all take as many microbatches."""

    def measured(self, wanted: Evaluation, measures: Mapping[str, Measure]) -> list[Sums]:
        """What each replica has measured; a round of microbatches goes through the mesh at once."""
        sums = dict.fromkeys(measures, (0.0, 0.0))
        reader = Reader(wanted.data, Order(wanted.data.length, shuffle=False), 0)
        failure: Exception | None = None
        try:
            for pieces in self._rounds(wanted):
                self._check(failure)
                given, failure = self._read(reader, pieces)
                self._check(failure)
                failure = self._measure(given, measures, sums)
        finally:
            reader.close()
        self._check(failure)
        told = gathered(sums if self._tells else None, self._ranks)
        return [one for one in told if one is not None]

    def _measure(
        self, given: list[_Given], measures: Mapping[str, Measure],
        sums: dict[str, tuple[float, float]],
    ) -> Exception | None:  # fmt: skip
        """Add what the measures give of a round; what failed."""
        try:
            for name, measure in measures.items():
                found = self._split.evaluate(given, self._counted(measure, checked=False))
                sums[name] = sums[name][0] + found.loss, sums[name][1] + found.items
        except Exception as error:  # noqa: BLE001 - of the user's code; the others must hear of it
            self._set_free(error)
            return error
        return None

    def _rounds(self, wanted: Evaluation) -> Iterator[list[Piece]]:
        """All samples once; microbatches of one size where there are stages."""
        length, most = wanted.data.length, wanted.batch or self._plan.micro
        rows = [self._own(cut(0, length, -(-length // most)))]
        if self._stages > 1:
            whole = length - length % (most * self._replicas * self._stages)
            rows = [self._own(cut(0, whole, whole // most), multiple=True)] if whole else []
            if rest := length - whole:
                each = min(most, -(-rest // self._replicas))
                rows.append(self._own(even(whole, rest, each), multiple=True))
        for pieces in rows:
            for begin in range(0, len(pieces), self._stages):
                yield pieces[begin : begin + self._stages]

    def _check(self, failure: Exception | None) -> None:
        if not self._any(failure is not None):
            return
        told = gathered(said_of(failure), self._ranks)
        raise_failed(told, failure, *IN_EVALUATION)

    def state(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What a checkpoint holds of what this rank has of the model and of the optimizer."""
        return self._held.state()

    def places(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Where a checkpoint is loaded into."""
        return self._held.places()

    def restore(self, model: MutableMapping[str, Any], optimizer: MutableMapping[str, Any]) -> None:
        """Take what was loaded into `places()`."""
        self._held.restore(model, optimizer)

    @property
    def whole_nbytes(self) -> int:
        """Bytes without compression, which there is none of."""
        return self.wire_nbytes

    def _gradient_nbytes(self) -> int:
        """Count two passes of a ring over what replicas have whole, one over what they divide."""
        held = [local(param).nbytes for param in self._held.params.values() if param.requires_grad]
        told = torch.tensor([float(sum(held))], dtype=torch.float64, device=self._place)
        add(told, self._ranks)
        passes = 1.0 if self._split.is_sharded else 2.0 / self._replicas
        return round(float(told) * passes * (self._replicas - 1))
