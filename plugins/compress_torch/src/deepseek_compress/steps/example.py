"""Inputs to trace a module with: real samples where there are some, else noise."""

from __future__ import annotations

from typing import Any

from deepseek_core import compression, errors


def example_of(model: Any, context: compression.StepContext) -> tuple[Any, ...]:
    """Tensors of two samples, one for each input, in the order of the model's arguments.

    Raises:
        InputError: neither samples nor shapes of the inputs are known.
    """
    import torch

    samples = context.calibration or context.train
    if samples is not None:
        from deepseek_compress.train.batches import as_tensors

        batch = next(iter(samples.batches(2)))
        return tuple(as_tensors(batch, model).inputs.values())
    if not context.inputs:
        raise errors.InputError(
            "nothing tells the shapes of the model's inputs",
            remedy="add model.input = [1, 3, 224, 224], the batch first",
        )
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn((2, *shape[1:]), generator=draw) for shape in context.inputs.values())
