"""The network of the job: from the arrays of `items` to answers, all preparation inside.

So the exported graph takes what a file has (bytes of a picture, samples of a sound), and nobody
has to scale it the same way again.

Legend: N rows, L characters, C channels, S pixels a side, T samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from deepseek_fusion.encoders import ResNeSt, TransformerXL, WaveNet
from deepseek_fusion.encoders.resnest import ResNeStConfig
from deepseek_fusion.encoders.transformer_xl import TransformerXLConfig
from deepseek_fusion.encoders.wavenet import WaveNetConfig
from deepseek_fusion.job.items import FRAME, Form
from deepseek_fusion.losses import JointLoss, Temperature
from deepseek_fusion.model import Answer, FusionModel, FusionShape

_QUIETEST = 1e-4  # below it a sound is silence, and is not made louder
_PICTURE = (0.5, 0.25)  # middle and spread of what pixels are about


class Network(nn.Module):
    """Encoders of a form's modalities, joined; `loss` and its `temperature` are for training."""

    def __init__(self, form: Form, shape: FusionShape) -> None:
        super().__init__()
        makers = {"text": _text, "picture": _picture, "sound": _sound}
        encoders = {name: makers[name](form, shape.width) for name in form.modalities}
        self.fusion = FusionModel(encoders, shape)
        self.temperature = Temperature()
        self.loss = JointLoss()

    def forward(self, arrays: Mapping[str, torch.Tensor]) -> Answer:
        """Answer the arrays of `items`, as tensors."""
        inputs, masks = {}, {}
        if "text" in arrays:
            inputs["text"], masks["text"] = arrays["text"], arrays["text"] != 0
        if "picture" in arrays:
            middle, spread = _PICTURE
            inputs["picture"] = (arrays["picture"].to(torch.float32) / 255.0 - middle) / spread
            masks["picture"] = arrays["picture_there"]
        if "sound" in arrays:
            inputs["sound"], masks["sound"] = evened(arrays["sound"], arrays["sound_length"])
        answer: Answer = self.fusion(inputs, masks)
        return answer

    def loss_of(self, answer: Answer, classes: torch.Tensor) -> torch.Tensor:
        """Return the joint loss of an answer to rows of these classes."""
        return self.loss.of(answer, classes, self.temperature())


def evened(sound_nt: torch.Tensor, length_n: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sounds of equal loudness (N, T, 1), and which samples are there (N, T)."""
    places = torch.arange(sound_nt.shape[1], device=sound_nt.device)
    there_nt = places[None] < length_n[:, None]
    kept = torch.where(there_nt, sound_nt, 0.0)
    count = length_n.clamp(min=1)[:, None].to(kept.dtype)
    loudness = (kept.square().sum(1, keepdim=True) / count).sqrt().clamp(min=_QUIETEST)
    return (kept / loudness)[:, :, None], there_nt


def _text(form: Form, width: int) -> Any:
    return TransformerXL(
        TransformerXLConfig(
            vocabulary=form.alphabet.count, width=width, layers=1, heads=4, head_width=width // 4,
            inner=2 * width, memory=form.longest_text, dropout=0.1,
        )
    )  # fmt: skip


def _picture(form: Form, width: int) -> Any:
    return ResNeSt(
        ResNeStConfig(
            blocks=(1, 1), planes=(8, 16), stem=8, channels=form.channels, width=width,
        )
    )  # fmt: skip


def _sound(form: Form, width: int) -> Any:
    return WaveNet(
        WaveNetConfig(strides=(FRAME,), residual=width, width=width, dilations=(1, 2, 4, 8))
    )
