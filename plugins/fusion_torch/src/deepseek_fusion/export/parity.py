"""Compares a file with the encoder that it was written from, with state and at other sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from deepseek_fusion.export.layout import TOKENS, TOKENS_MASK, later
from deepseek_fusion.export.running import Feeds, onnx_runtime
from deepseek_fusion.protocol import begin_state, frame_of


def largest_difference(encoder: Any, content: bytes, example: Tensor) -> float:
    """Give the largest difference of tokens and states over chunks of an example.

    Two rows and one, one frame and the rest, in turn; with the last frame masked out, so that
    masks count. By the largest token where that is above 1; infinite where masks differ.
    """
    run = onnx_runtime(content)
    worst = 0.0
    for rows in (example, example[:1]):
        state = begin_state(encoder.state_specs, rows)
        for piece in _pieces(encoder, rows):
            mask = torch.ones(piece.shape[: 2 if encoder.state_specs else 1], dtype=torch.bool)
            mask[..., -1] = False
            wanted = encoder.encode(piece, mask, state)
            feeds = {"x": piece.numpy(), "mask": mask.numpy()}
            found = run(feeds | {name: value.numpy() for name, value in state.items()})
            worst, state = max(worst, _difference(wanted, found)), wanted.state
    return worst


def _pieces(encoder: Any, rows: Tensor) -> tuple[Tensor, ...]:
    if not encoder.state_specs:
        return (rows,)
    frame = frame_of(encoder)
    return rows[:, :frame], rows[:, frame:], rows


def _difference(wanted: Any, found: Feeds) -> float:
    if not np.array_equal(wanted.mask.numpy(), found[TOKENS_MASK]):
        return float("inf")
    pairs = [(wanted.tokens.numpy(), found[TOKENS])]
    pairs += [(value.numpy(), found[later(name)]) for name, value in wanted.state.items()]
    return max(_relative(*pair) for pair in pairs)


def _relative(wanted: Any, found: Any) -> float:
    a, b = np.asarray(wanted, dtype=np.float64), np.asarray(found, dtype=np.float64)
    if a.shape != b.shape:
        return float("inf")
    if not a.size:
        return 0.0
    return float(np.abs(a - b).max() / max(1.0, np.abs(a).max()))
