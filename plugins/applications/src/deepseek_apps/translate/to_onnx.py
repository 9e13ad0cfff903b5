"""The encoder and one step of the decoder as ONNX files, with the state as tensors.

Legend: B batch, S tokens of the source, P tokens made so far, L layers of the decoder, H heads,
W width of a head, D width, V vocabulary.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from deepseek_apps.translate.model import Pair, Translator
from deepseek_apps.translate.special import BEGIN, END, PAD

ENCODER: Final = "encoder.onnx"
STEP: Final = "step.onnx"
_OPSET: Final = 18


class EncoderFile(nn.Module):
    """source (B, S) -> memory (B, S, D), keys (B, 2L, H, S, W).

    Legend: `model` the translator.
    """

    def __init__(self, model: Translator) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What all steps need of a source; `memory` is for other uses, as comparing texts."""
        memory, _ = self.model.encode(source)
        return memory, _stacked(self.model.keys(memory))


class StepFile(nn.Module):
    """token (B, 1), source (B, S), keys, past (B, 2L, H, P, W) -> logits (B, V), past of P + 1.

    Legend: `model` the translator.
    """

    def __init__(self, model: Translator) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, token: torch.Tensor, source: torch.Tensor, keys: torch.Tensor, past: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """One token further; the past begins with P = 0."""
        mask = (source != PAD)[:, None, None, :]
        states, seen = self.model.step(token, _pairs(keys), mask, _pairs(past))
        return self.model.project(states[:, -1]), _stacked(seen)


def _stacked(pairs: list[Pair]) -> torch.Tensor:
    return torch.stack([part for pair in pairs for part in pair], 1)


def _pairs(stacked: torch.Tensor) -> list[Pair]:
    parts = stacked.unbind(1)
    return list(zip(parts[::2], parts[1::2], strict=True))


def export_files(model: Translator, folder: Path) -> tuple[Path, Path]:
    """Write both files into a folder; where they are."""
    model.eval()
    shape = model.shape
    source = torch.tensor([[BEGIN, 5, 6, END], [BEGIN, 5, END, PAD]])
    encoder = EncoderFile(model)
    with torch.no_grad():
        _, keys = encoder(source)
    past = torch.zeros(2, 2 * shape.decoder_layers, shape.heads, 3, shape.width // shape.heads)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("source", max=shape.positions)
    made = torch.export.Dim("made", max=shape.positions - 1)
    _export(
        encoder, (source,), folder / ENCODER,
        names=(("source",), ("memory", "keys")), free=({0: batch, 1: length},),
    )  # fmt: skip
    _export(
        StepFile(model), (source[:, :1], source, keys, past), folder / STEP,
        names=(("token", "source", "keys", "past"), ("logits", "seen")),
        free=({0: batch}, {0: batch, 1: length}, {0: batch, 3: length}, {0: batch, 3: made}),
    )  # fmt: skip
    return folder / ENCODER, folder / STEP


def _export(
    module: nn.Module,
    example: tuple[torch.Tensor, ...],
    path: Path,
    *,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    free: Any,
) -> None:
    with torch.no_grad(), _silence():
        torch.onnx.export(
            module.eval(), example, str(path), input_names=list(names[0]),
            output_names=list(names[1]), dynamic_shapes=free, opset_version=_OPSET, dynamo=True,
            external_data=False, verbose=False,
        )  # fmt: skip


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep the exporter's chatter from the user; what fails raises."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
