"""A look whether a loss that should be a mean is a sum, which makes steps too long or too short."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

import torch

from deepseek_parallel.strategies.losses import as_float
from deepseek_parallel.trainer.evaluation import Measure

LEAST_SAMPLES: Final = 16
"""By which it can be told; few may have such losses by chance."""
_CLOSE: Final = 0.1  # of the whole; for a mean it is off by all of it
_LOG: Final = logging.getLogger(__name__)


def warn_of_sum(loss: Measure, model: Any, batches: Sequence[Any], items: int) -> None:
    """Warn if the losses of two halves of a batch add up to that of all of it, as no mean does.

    `batches` are the halves and the whole, of so many items. The loss is computed without a
    gradient, with the model in evaluation. What can't be told is not.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            found = [as_float(loss(model, batch)) for batch in batches]
    except Exception:  # noqa: BLE001 - (sum, count), or what the step itself will fail by
        return
    finally:
        model.train(was_training)
    if abs(found[0] + found[1] - found[2]) < _CLOSE * abs(found[2]):
        _LOG.warning(
            "the loss looks like a sum over the samples of a batch, and is taken for their mean: "
            "%.4g and %.4g for the halves of %d samples, %.4g for all of them. Steps change with "
            "the size of a microbatch then; return (sum, count), or the mean",
            found[0],
            found[1],
            items,
            found[2],
        )
