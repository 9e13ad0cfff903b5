"""How near a module's outputs are to those of another: what is known without labels."""

from __future__ import annotations

from typing import Any

from deepseek_core import compression


def agreement(reference: Any, other: Any, samples: compression.Samples) -> float:
    """1 less the relative error (root of squares) of the outputs that score classes."""
    import numpy as np

    from deepseek_compress.train.outputs import logits_of
    from deepseek_compress.train.predictor import torch_predictor

    expected, found = torch_predictor(reference), torch_predictor(other)
    off = whole = 0.0
    for batch in samples.batches(64):
        wanted = logits_of(expected(batch.inputs)).astype(np.float64)
        off += float(np.square(wanted - logits_of(found(batch.inputs))).sum())
        whole += float(np.square(wanted).sum())
    return 1.0 - float(np.sqrt(off / whole)) if whole else 1.0 - float(np.sqrt(off))
