"""Inputs to trace a module with: real samples where there are some, else noise."""

from __future__ import annotations

from typing import Any

from deepseek_compress.samples.example import example_inputs
from deepseek_core import compression


def example_of(model: Any, context: compression.StepContext) -> dict[str, Any]:
    """Tensors of two samples by the names of the model's inputs.

    Raises:
        InputError: neither samples nor shapes of the inputs are known.
    """
    from deepseek_compress.train.batches import as_tensors

    inputs = example_inputs(context.calibration or context.train, context.inputs, 2)
    return dict(as_tensors(compression.Batch(inputs=inputs), model).inputs)
