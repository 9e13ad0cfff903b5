"""Order of the weights of 2-d convolutions in memory: channels last is faster on CPUs."""

from __future__ import annotations

from typing import Any

import torch

from deepseek_compress.modules import call, evaluating
from deepseek_compress.train.batches import as_tensors
from deepseek_compress.train.options import Layout
from deepseek_core import compression, errors


def laid_out(model: Any, wanted: Layout, samples: compression.Samples) -> tuple[Any, str]:
    """The model in that layout, and a sentence that says which it is; "" where none matters.

    `auto` is channels last, if there is a 2-d convolution and the model runs so: one that calls
    `view` on pictures does not.

    Raises:
        InputError: the model runs in neither.
    """
    if wanted == "contiguous" or not any(isinstance(p, torch.nn.Conv2d) for p in model.modules()):
        return model, ""
    changed = model.to(memory_format=torch.channels_last)
    if wanted == "channels_last":
        return changed, "weights lie channels last, as asked for"
    first = next(iter(samples.batches(2)))
    try:
        with evaluating(changed):
            call(changed, as_tensors(first, changed).inputs)
    except errors.InputError:
        return plain(changed), "weights lie as they were: the model does not run channels last"
    return changed, "weights lie channels last while they are trained"


def plain(model: Any) -> Any:
    """The model in the layout that all code expects."""
    return model.to(memory_format=torch.contiguous_format)
