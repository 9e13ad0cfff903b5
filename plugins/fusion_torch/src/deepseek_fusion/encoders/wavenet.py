"""A WaveNet variant for sound: a strided front end, then gated dilated causal convolutions.

After van den Oord et al. 2016. Its front end takes frames of samples that do not overlap, so
that the blocks run once a frame and not once a sample. The state holds, for each block, the
last inputs that its convolution looks back at.

Legend: N rows · T samples · C channels · F frames · R residual channels · D width of a token.
"""

from __future__ import annotations

import math

import attrs
import torch
from torch import Tensor, nn

from deepseek_core import errors
from deepseek_fusion import sizes
from deepseek_fusion.encoders.parts.gated_block import GatedBlock
from deepseek_fusion.protocol import (
    State,
    Tokens,
    check_floats,
    entered_mask,
    entered_state,
    entered_values,
    passed_on,
)
from deepseek_fusion.states import StateSpec


def _two_or_more(config: WaveNetConfig, _field: attrs.Attribute[int], value: int) -> None:
    if not isinstance(value, int) or value < 2:
        raise errors.ConfigError(f"WaveNetConfig.kernel must be 2 or more, got {value!r}")


@attrs.frozen(kw_only=True)
class WaveNetConfig:
    """Sizes of a WaveNet.

    `strides` of the front end multiply to the samples of a frame; `dilations` has one entry a
    block, in frames. `width` is that of skips and tokens.
    """

    channels: int = attrs.field(default=1, validator=sizes.count)
    strides: tuple[int, ...] = attrs.field(
        default=(5, 4), converter=sizes.entries, validator=sizes.counts
    )
    residual: int = attrs.field(default=32, validator=sizes.count)
    width: int = attrs.field(default=64, validator=sizes.count)
    kernel: int = attrs.field(default=2, validator=_two_or_more)
    dilations: tuple[int, ...] = attrs.field(
        default=(1, 2, 4, 8, 16, 32), converter=sizes.entries, validator=sizes.counts
    )


class WaveNet(nn.Module):
    """Encodes sound (N, T, C) as one token a frame, whole or chunk by chunk.

    `frame` is the samples of a token; a chunk is whole frames. `receptive` is how many frames
    a token depends on, itself included. What is masked out enters every block as zero, as
    the time before the start does: padding on the left changes nothing. `front` makes frames,
    `blocks` look back, `last` makes tokens of the sum of skips.
    """

    def __init__(self, config: WaveNetConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or WaveNetConfig()
        self.width, self.frame = config.width, math.prod(config.strides)
        self.front = _front(config)
        self.blocks = nn.ModuleList(
            GatedBlock(
                config.residual,
                config.width,
                config.kernel,
                dilation,
                last=index + 1 == len(config.dilations),
            )
            for index, dilation in enumerate(config.dilations)
        )
        self.last = nn.Conv1d(config.width, config.width, 1)
        self.receptive = 1 + sum(block.span for block in self.blocks)
        self.state_specs = tuple(
            StateSpec(name=f"wavenet_block{i}", shape=(config.residual, block.span))
            for i, block in enumerate(self.blocks)
        )

    def encode(self, x: Tensor, mask: Tensor | None = None, state: State | None = None) -> Tokens:
        """Encode whole clips, or the next chunk of each stream.

        `x` is (N, T, C), T a multiple of `frame`; a frame is there where one of its samples is.

        Raises:
            InputError: what came in does not fit; says what, where and what to do.
        """
        check_floats(x, self.config.channels, ndim=3, channel_axis=2)
        self._check_frames(x)
        mask = entered_mask(x, mask, x.shape[:2])
        before = entered_state(self.state_specs, x, state)
        clean = entered_values(x, mask).to(self.last.weight.dtype)
        there_nf = mask.unflatten(1, (-1, self.frame)).any(2) if x.shape[1] else mask
        if not torch.compiler.is_exporting() and 0 in x.shape[:2]:
            return Tokens(x.new_zeros(*there_nf.shape, self.width), there_nf, before)
        tokens, after = self._frames(clean.transpose(1, 2), there_nf, before)
        return Tokens(tokens, there_nf, passed_on(self.state_specs, after))

    def _check_frames(self, x: Tensor) -> None:
        if torch.compiler.is_exporting() or x.shape[1] % self.frame == 0:
            return
        whole = x.shape[1] // self.frame * self.frame
        raise errors.TensorMismatch(
            f"{x.shape[1]} samples are not whole frames of {self.frame}",
            remedy=f"pad to {whole + self.frame} and mask the rest, or keep the last "
            f"{x.shape[1] - whole} samples for the next chunk",
        )

    def _frames(
        self, x_nct: Tensor, there_nf: Tensor, before: State
    ) -> tuple[Tensor, dict[str, Tensor]]:
        h_nrf = self._in_frames(x_nct)
        there = there_nf.unsqueeze(1).to(h_nrf.dtype)
        total, after = 0, {}
        for spec, block in zip(self.state_specs, self.blocks, strict=True):
            past = before[spec.name].to(h_nrf.dtype)
            h_nrf, skip, after[spec.name] = block(h_nrf * there, past)
            total = total + skip
        tokens = self.last(torch.relu(total)) * there
        return tokens.transpose(1, 2), after

    def _in_frames(self, x: Tensor) -> Tensor:
        *early, last = self.front
        for layer in early:
            x = torch.relu(layer(x))
        return last(x)


def _front(config: WaveNetConfig) -> nn.ModuleList:
    """Convolutions whose kernels are as long as their strides, so that they need no past."""
    given = (config.channels, *[config.residual] * (len(config.strides) - 1))
    return nn.ModuleList(
        nn.Conv1d(channels, config.residual, stride, stride=stride)
        for channels, stride in zip(given, config.strides, strict=True)
    )
