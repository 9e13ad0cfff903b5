"""Inputs to run a model on: real samples where there are some, else noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deepseek_compress.samples.arrays import Array
from deepseek_core import compression, errors


def example_inputs(
    samples: compression.Samples | None, shapes: Mapping[str, Sequence[int]], count: int
) -> dict[str, Array]:
    """The first `count` samples, or so much noise; `shapes` have the batch first.

    Real ones have the dtypes that the model eats: whole numbers, where it looks something up.

    Raises:
        InputError: neither samples nor shapes of the inputs are known.
    """
    if samples is not None:
        first = next(iter(samples.batches(count)))
        rows = np.resize(np.arange(len(first)), count)  # again from the first, if there are few
        return {name: array[rows] for name, array in first.inputs.items()}
    if not shapes:
        raise errors.InputError(
            "nothing tells the shapes of the model's inputs",
            remedy="add model.input = [1, 3, 224, 224], the batch first",
        )
    draw = np.random.default_rng(0)
    return {
        name: draw.standard_normal((count, *shape[1:]), dtype=np.float32)
        for name, shape in shapes.items()
    }
