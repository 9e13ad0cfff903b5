"""Microbatches through the stages of a pipeline, by the schedules of torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import pipelining
from torch.distributed.pipelining import schedules

from deepseek_core import errors, training
from deepseek_parallel.lost import is_lost
from deepseek_parallel.strategies import batches
from deepseek_parallel.strategies.stage import own

_CLASSES: Final = {
    "1f1b": schedules.Schedule1F1B,
    "interleaved": schedules.ScheduleInterleaved1F1B,
    "zero_bubble": schedules.ScheduleInterleavedZeroBubble,
}


class _Stage(pipelining.PipelineStage):
    """A stage that is as it was after torch has tried it on values that mean nothing."""

    def _forward_metadata_inference(self, *args: Any, **kwargs: Any) -> Any:
        before = [(buffer, buffer.clone()) for buffer in self.submod.buffers()]
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            found = super()._forward_metadata_inference(*args, **kwargs)
        for buffer, old in before:
            if not torch.equal(buffer, old):
                buffer.data.copy_(old)  # torch goes backward over it next, and counts versions
        return found


class Pipeline:
    """My stages of a model, and the process group of all ranks that have the others.

    `stages` are mine, `pp` apart from each other: of p ranks, rank r has r, r + p, r + 2 p, ...
    """

    def __init__(
        self, stages: Sequence[nn.Module], group: dist.ProcessGroup, schedule: str
    ) -> None:
        self.stages, self._group, self._schedule = list(stages), group, schedule
        self._made: dict[tuple[Any, ...], Any] = {}
        self._loss: Callable[[Any, Tensor], Tensor] = _no_step

    def backward(self, microbatches: Sequence[Any], loss: training.Loss) -> training.Sums:
        """Gradients of the sum of losses; the sums, on the rank of the last stage alone.

        Raises:
            InputError: microbatches that are unequal or do not fit the schedule.
        """
        return self._run("step", microbatches, loss)

    def evaluate(self, microbatches: Sequence[Any], loss: training.Loss) -> training.Sums:
        """The sums without a gradient, on the rank of the last stage alone.

        Raises:
            InputError: microbatches that are unequal or do not fit the schedule.
        """
        return self._run("eval", microbatches, loss)

    def _run(self, deed: str, microbatches: Sequence[Any], loss: training.Loss) -> training.Sums:
        inputs = [batches.given_by(loss, batch).by_position() for batch in microbatches]
        batches.check_equal(inputs)
        check_number(self._schedule, dist.get_world_size(self._group), len(inputs))
        found: dict[int, training.Sums] = {}

        def of_one(output: Any, number: Tensor) -> Tensor:
            value, items = batches.loss_of(loss, output, microbatches[int(number)])
            # The last one counts: before its first step, torch asks with an output of no values.
            found[int(number)] = training.Sums(float(value.detach()), items)
            return own(value)

        self._loss = of_one
        schedule = self._schedule_for(deed, inputs)
        given = batches.joined(inputs) if dist.get_rank(self._group) == 0 else ()
        numbers = torch.arange(len(inputs))
        with _told_of(self._schedule):
            getattr(schedule, deed)(*given, target=numbers, return_outputs=False)
        return training.Sums(
            sum(one.loss for one in found.values()), sum(one.items for one in found.values())
        )

    def _loss_of(self, output: Any, number: Tensor) -> Tensor:
        """What the schedules call: they are made once, and each step has a loss of its own."""
        return self._loss(output, number)

    def _schedule_for(self, deed: str, inputs: Sequence[Sequence[Tensor]]) -> Any:
        """The schedule for so many microbatches of this size; stages learn their shapes once."""
        key = (deed, len(inputs), *((tuple(one.shape), one.dtype) for one in inputs[0]))
        if key not in self._made:
            rank, ranks = dist.get_rank(self._group), dist.get_world_size(self._group)
            num_stages = ranks * len(self.stages)
            device = next(self.stages[0].parameters()).device
            held = [
                _Stage(stage, rank + ranks * place, num_stages, device, group=self._group)
                for place, stage in enumerate(self.stages)
            ]
            self._made[key] = _CLASSES[self._schedule](
                held[0] if self._schedule == "1f1b" else held,
                len(inputs),
                loss_fn=self._loss_of,
                scale_grads=False,
            )
        return self._made[key]


def check_number(schedule: str, pp: int, microbatches: int) -> None:
    """See that a schedule takes so many microbatches.

    Raises:
        InputError: it does not.
    """
    fits = microbatches >= pp if schedule == "1f1b" else microbatches % pp == 0
    if not fits:
        wanted = f"{pp} or more" if schedule == "1f1b" else f"a multiple of {pp}"
        raise errors.InputError(
            f"{microbatches} microbatches do not fit {pp} stages: {schedule} needs {wanted}",
            remedy="choose a smaller microbatch, or fewer stages",
        )


def _no_step(_output: Any, _number: Tensor) -> Tensor:
    raise AssertionError("a schedule runs in a step only")


@contextmanager
def _told_of(schedule: str) -> Iterator[None]:
    """Raise errors of the model as they are, and say what zero bubble can't do.

    It computes the gradients of weights by themselves.
    """
    try:
        yield
    except RuntimeError as error:
        if "failed to run forward" in str(error) and isinstance(error.__cause__, Exception):
            raise error.__cause__ from None
        if schedule != "zero_bubble" or is_lost(error) or "backward" not in str(error):
            raise
        raise errors.InputError(
            "zero bubble can't compute the gradients of a stage's weights apart from its input's",
            remedy="use the schedule 1f1b or interleaved; torch.utils.checkpoint needs "
            "use_reentrant=False under any of them",
        ) from error
