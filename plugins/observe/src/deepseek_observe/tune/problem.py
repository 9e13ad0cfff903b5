"""A training that can be begun again and again: model, loss, data and optimizer."""

from __future__ import annotations

import copy
import errno
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import attrs
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from deepseek_core import errors
from deepseek_observe.tune.samples import Numbers, Samples, moved

_REMEDY: Final = (
    "return the mean over the items of the batch as a tensor of one number, or (sum, count)"
)
_EVALUATED: Final = 512
_PARTS: Final = 10  # of which the error of a held-out loss is told
_LIKE_A_SUM: Final = (1.9, 2.1)
_TOLD_BY_TORCH: Final = (
    "can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory",
    "bad_alloc", "failed to allocate", "could not create a primitive",
)  # fmt: skip
Measure = Callable[[Any, Any], Any]


@attrs.define(kw_only=True, eq=False)
class Problem:
    """What is trained. `micro` samples are computed at once, all of a batch by default.

    `seen` counts samples that were computed forward and backward.
    """

    model: nn.Module
    loss: Measure | None
    data: Samples
    optimizer: Optimizer
    clip: float | None = None
    precision: str = "fp32"
    micro: int | None = None
    seen: int = 0
    _ratios: list[float] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self._ratios = [rate / rates[0] if rates[0] else 1.0 for rate in rates]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def params(self) -> list[Tensor]:
        """What is trained."""
        return [param for group in self.optimizer.param_groups for param in group["params"]]

    def set_rate(self, rate: float) -> None:
        """Let the first group have this rate; the others keep their ratio to it."""
        for group, ratio in zip(self.optimizer.param_groups, self._ratios, strict=True):
            group["lr"] = rate * ratio

    def gradient(self, numbers: Numbers) -> float:
        """Let each `grad` be that of the mean loss over these samples; the loss.

        Computed in pieces of `micro` samples, which are added up and divided by the count of all.
        """
        self.optimizer.zero_grad(set_to_none=True)
        size = self.micro or len(numbers)
        total, items = 0.0, 0.0
        for begin in range(0, len(numbers), size):
            added, count = self.summed(numbers[begin : begin + size])
            if not added.requires_grad:
                raise errors.InputError(
                    "the loss does not hang on any parameter that is trained",
                    remedy="compute it from model(...) without detach(), item() or no_grad()",
                )
            with _told("the backward pass"):
                added.backward()
            total, items = total + float(added.detach()), items + count
        self.seen += len(numbers)
        grads = [param.grad for param in self.params if param.grad is not None]
        if items > 0 and items != 1.0:
            torch._foreach_div_(grads, items)
        return total / items if items else math.nan

    def step(self, numbers: Numbers, rate: float) -> float:
        """One step at this rate; the loss before it. One that is not finite steps nowhere."""
        loss = self.gradient(numbers)
        if not math.isfinite(loss):
            return loss
        if self.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.params, self.clip)
        self.set_rate(rate)
        with _told("the optimizer"):
            self.optimizer.step()
        return loss

    def evaluated(self, numbers: Numbers) -> Held:
        """The mean loss over these samples, in evaluation mode."""
        was = self.model.training
        self.model.eval()
        size = min(self.micro or _EVALUATED, _EVALUATED, -(-len(numbers) // _PARTS))
        found = []
        try:
            with torch.no_grad():
                for begin in range(0, len(numbers), size):
                    total, items = self.summed(numbers[begin : begin + size])
                    found.append((float(total), items))
        finally:
            self.model.train(was)
        return _held(found)

    def summed(self, numbers: Numbers) -> tuple[Tensor, float]:
        """The sum of the loss over these samples, and over how many items it goes.

        Raises:
            InputError: the loss gave neither a mean nor (sum, count).
        """
        with _told("the data"):
            batch = moved(self.data.read(numbers), self.device)
        with _told("the loss"), self._precision():
            answer = self._answer(batch)
        if isinstance(answer, tuple) and len(answer) == 2:
            return _scalar(answer[0]), _count(answer[1])
        return _scalar(answer) * len(numbers), float(len(numbers))

    def _answer(self, batch: Any) -> Any:
        if self.loss is not None:
            return _named_loss(self.loss(self.model, batch))
        return _named_loss(self.model(**batch) if isinstance(batch, dict) else self.model(*batch))

    @contextmanager
    def _precision(self) -> Iterator[None]:
        if self.precision == "fp32":
            yield
        else:
            with torch.autocast(self.device.type, dtype=torch.bfloat16):
                yield


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Name what of the user's code has failed.

    Raises:
        InputError: it has, and not of memory.
    """
    try:
        yield
    except (errors.DeepSeekError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        if is_memory(error):
            raise
        raise errors.InputError(
            f"{what} fails: {type(error).__name__}: {error}", remedy="correct it"
        ) from error


def is_memory(error: BaseException) -> bool:
    """Whether it says that memory is short."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(told in text for told in _TOLD_BY_TORCH)


@attrs.frozen
class Held:
    """The mean loss of samples that are held out, and its standard error."""

    loss: float
    error: float


def _held(parts: Sequence[tuple[float, float]]) -> Held:
    """Mean of sums and counts of parts, equally large but for the last."""
    items = sum(count for _, count in parts)
    if not items:
        return Held(math.nan, math.nan)
    means = [total / count for total, count in parts if count]
    spread = statistics.stdev(means) if len(means) > 1 and all(map(math.isfinite, means)) else 0.0
    return Held(sum(total for total, _ in parts) / items, spread / math.sqrt(len(means)))


def _named_loss(answer: Any) -> Any:
    """The `loss` of an output that has one, as models of Hugging Face give."""
    if isinstance(answer, dict) and "loss" in answer:
        return answer["loss"]
    return answer if isinstance(answer, Tensor) else getattr(answer, "loss", answer)


def _scalar(value: Any) -> Tensor:
    if not isinstance(value, Tensor):
        raise errors.InputError(f"the loss gave a {type(value).__name__}", remedy=_REMEDY)
    if value.numel() != 1:
        raise errors.InputError(
            f"the loss gave a tensor of shape {list(value.shape)}", remedy=_REMEDY
        )
    if not value.is_floating_point():
        raise errors.InputError(f"the loss is of {value.dtype}", remedy="return it as a float")
    return value.reshape(())


def _count(value: Any) -> float:
    if isinstance(value, Tensor) and value.numel() == 1:
        return float(value.detach())
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        raise errors.InputError(f"the loss gave {value!r} as its count", remedy=_REMEDY)
    return float(value)


def check_mean(problem: Problem, numbers: Numbers) -> None:
    """Refuse a loss that doubles when a batch holds each sample twice.

    Raises:
        InputError: it is a sum.
    """
    with _told("the data"):
        doubled = problem.data.read([*numbers, *numbers])
    was = problem.model.training
    problem.model.eval()
    try:
        with torch.no_grad():
            once = problem._answer(moved(problem.data.read(numbers), problem.device))
            twice = problem._answer(moved(doubled, problem.device))
    finally:
        problem.model.train(was)
    if isinstance(once, tuple):
        return
    first, second = float(_scalar(once)), float(_scalar(twice))
    low, high = _LIKE_A_SUM
    if math.isfinite(first) and abs(first) > 1e-12 and low < second / first < high:
        raise errors.InputError(
            f"the loss of a batch is a sum: {first:.4g} of {len(numbers)} samples, {second:.4g} of "
            "each of them twice; its rate would change with each batch",
            remedy="return (sum, count), or the mean: reduction='mean'",
        )


@attrs.frozen(eq=False)
class Moment:
    """Weights, buffers and the optimizer's state at one time."""

    tensors: dict[str, Tensor]
    optimizer: dict[str, Any]


def kept(problem: Problem) -> Moment:
    """A copy of what training changes."""
    tensors = {name: tensor.detach().clone() for name, tensor in _tensors(problem.model)}
    return Moment(tensors, copy.deepcopy(problem.optimizer.state_dict()))


def restore(problem: Problem, moment: Moment) -> None:
    """Go back to that time."""
    with torch.no_grad():
        for name, tensor in _tensors(problem.model):
            tensor.copy_(moment.tensors[name])
    problem.optimizer.load_state_dict(copy.deepcopy(moment.optimizer))


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()
