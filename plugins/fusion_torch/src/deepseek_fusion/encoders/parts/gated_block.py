"""A gated dilated causal convolution with residual and skip (van den Oord et al. 2016, WaveNet).

Legend: N rows · R residual channels · F frames · P frames of the past that a block looks back.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class GatedBlock(nn.Module):
    """One block: tanh x sigmoid of a causal convolution, then residual and skip.

    `span` is P, the frames that it looks back; `both` gives filter and gate in one product.
    `residual` leads to the next block, which the last of a stack does not have; `skip` to the
    tokens.
    """

    def __init__(self, channels: int, skip: int, kernel: int, dilation: int, *, last: bool) -> None:
        super().__init__()
        self.span = (kernel - 1) * dilation
        self.both = nn.Conv1d(channels, 2 * channels, kernel, dilation=dilation)
        self.residual = None if last else nn.Conv1d(channels, channels, 1)
        self.skip = nn.Conv1d(channels, skip, 1)

    def forward(self, x_nrf: Tensor, past_nrp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give what the next block takes, the skip, and the past of the next chunk."""
        seen = torch.cat([past_nrp, x_nrf], 2)
        value, gate = self.both(seen).chunk(2, 1)
        gated = torch.tanh(value) * torch.sigmoid(gate)
        later = seen[:, :, seen.shape[2] - self.span :]
        following = x_nrf if self.residual is None else x_nrf + self.residual(gated)
        return following, self.skip(gated), later
