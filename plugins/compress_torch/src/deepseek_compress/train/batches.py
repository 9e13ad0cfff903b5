"""Batches as tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
import torch

from deepseek_compress.modules import place_of
from deepseek_core import compression


@attrs.frozen(kw_only=True, eq=False)
class TensorBatch:
    """A batch as tensors on the model's device; `rows` are its samples' places, if known."""

    inputs: Mapping[str, Any]
    labels: Any
    rows: Any = None

    def __len__(self) -> int:
        return len(next(iter(self.inputs.values())))


def as_tensors(batch: compression.Batch, model: Any, rows: Any = None) -> TensorBatch:
    """The batch for a model: on its device, numbers with a fraction in its own dtype."""
    device, dtype = place_of(model)

    def tensor(array: Any) -> Any:
        made = torch.from_numpy(_writable(array)).to(device)
        return made.to(dtype) if made.is_floating_point() else made

    return TensorBatch(
        inputs={name: tensor(array) for name, array in batch.inputs.items()},
        labels=None
        if batch.labels is None
        else torch.from_numpy(_writable(batch.labels)).to(device),
        rows=rows,
    )


def _writable(array: Any) -> Any:
    """An array that torch takes without a warning."""
    whole = np.ascontiguousarray(array)
    return whole if whole.flags.writeable else whole.copy()
