"""What is made small: cross-entropy, or a loss of the user's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch.nn import functional

from deepseek_compress.modules import call
from deepseek_compress.samples.labels import class_labels
from deepseek_compress.train.batches import TensorBatch
from deepseek_compress.train.outputs import logits_of
from deepseek_core import errors


class Step(NamedTuple):
    """The loss of one batch; class scores and labels where the objective tells classes apart."""

    loss: Any
    logits: Any = None
    labels: Any = None


class Objective(ABC):
    """Gives the loss of a batch; parts of its own may be trained along."""

    name = "loss"

    @abstractmethod
    def step(self, model: Any, batch: TensorBatch) -> Step:
        """Call the model and say what it is to be made of its outputs."""

    def measured(self, model: Any, batch: TensorBatch) -> Step:
        """What held-out samples are judged by: as `step`, without gradients."""
        return self.step(model, batch)

    def parameters(self) -> Iterator[Any]:
        """What is trained besides the model: nothing by default."""
        return iter(())

    def tensors(self) -> dict[str, Any]:
        """The state of these parts by name, for checkpoints."""
        return {}


class CrossEntropy(Objective):
    """Cross-entropy of classes, the labels softened by `smoothing`."""

    name = "cross-entropy"

    def __init__(self, smoothing: float = 0.0) -> None:
        self._smoothing = smoothing

    def step(self, model: Any, batch: TensorBatch) -> Step:
        """See `Objective`.

        Raises:
            InputError: labels that are no classes of the model.
        """
        logits = logits_of(call(model, batch.inputs)).float()
        labels = checked_labels(batch.labels, logits)
        loss = functional.cross_entropy(logits, labels, label_smoothing=self._smoothing)
        return Step(loss, logits.detach(), labels)


class UserLoss(Objective):
    """A function `(outputs, labels) -> loss` of the user's: one number that has gradients."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function
        self.name = getattr(function, "__name__", type(function).__name__)

    def step(self, model: Any, batch: TensorBatch) -> Step:
        """See `Objective`.

        Raises:
            InputError: the function raises, or gives no single number.
        """
        return Step(self.of(call(model, batch.inputs), batch.labels))

    def of(self, outputs: Any, labels: Any) -> Any:
        """The loss of outputs.

        Raises:
            InputError: the function raises, or gives no single number.
        """
        try:
            loss = self._function(outputs, labels)
        except Exception as error:
            raise errors.InputError(
                f"the loss function {self.name} raised {type(error).__name__}: {error}",
                remedy="correct it; it is called with the model's outputs and the labels",
            ) from error
        return self._checked(loss, gradients=torch.is_grad_enabled())

    def _checked(self, loss: Any, *, gradients: bool) -> Any:
        if not isinstance(loss, torch.Tensor):
            said, remedy = f"a {type(loss).__name__}", "return a tensor, made of the outputs"
        elif loss.numel() != 1:
            said, remedy = f"shape {list(loss.shape)}", "return its mean: loss.mean()"
        elif gradients and not loss.requires_grad:
            said, remedy = "no gradients", "compute it from the outputs, without detach() or item()"
        else:
            return loss.reshape(())
        raise errors.InputError(f"the loss function {self.name} gives {said}", remedy=remedy)


def cross_entropy(outputs: Any, labels: Any) -> Any:
    """Cross-entropy of a model's outputs.

    Raises:
        InputError: labels that are no classes of the model.
    """
    logits = logits_of(outputs).float()
    return functional.cross_entropy(logits, checked_labels(labels, logits))


def checked_labels(labels: Any, logits: Any) -> Any:
    """Labels as int64 that fit scores of shape [N, classes, ...].

    Raises:
        InputError: they don't.
    """
    if logits.ndim < 2 or logits.shape[1] < 2:
        raise errors.InputError(
            f"the model gives shape {list(logits.shape)}, and cross-entropy wants [N, classes]",
            remedy="name a loss of your own: data.loss",
        )
    array = None if labels is None else labels.cpu().numpy()
    found = torch.from_numpy(class_labels(array, logits.shape[1], "the training data"))
    wanted = (logits.shape[0], *logits.shape[2:])
    if tuple(found.shape) != wanted:
        raise errors.InputError(
            f"labels have shape {list(found.shape)}, and the model's classes {list(wanted)}",
            remedy="give one class for each sample",
        )
    return found.to(logits.device)
