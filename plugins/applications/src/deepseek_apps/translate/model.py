"""A small Transformer, layer by layer as CTranslate2's `TransformerSpec` can hold it.

Norms stand before the sublayers (pre-norm) and once more at the end of each stack; positions are
sinusoids; source, target and the projection to the vocabulary share one embedding.

Legend: B batch, S tokens of the source, T tokens of the target, D width, V vocabulary.
Sources: Vaswani et al. 2017; Press and Wolf 2017 (tied embeddings); Xiong et al. 2020 (pre-norm).
"""
# ruff: noqa: N803, N806 - shapes by the legend

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import nn

from deepseek_apps.translate.attention import CrossAttention, SelfAttention
from deepseek_apps.translate.shape import Shape
from deepseek_apps.translate.special import PAD

Pair: TypeAlias = tuple[torch.Tensor, torch.Tensor]
"""Keys and values, each (B, heads, tokens, width of a head)."""


class Feed(nn.Module):
    """Two linear layers with a ReLU between.

    Legend: `first` widens, `second` narrows.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.first = nn.Linear(shape.width, shape.inner)
        self.second = nn.Linear(shape.inner, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same for each token."""
        return self.second(torch.relu(self.first(x)))


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward part, each added to what it was given.

    Legend: `attend`, `feed` the sublayers, `norms` stand before them, `drop` after.
    """

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.attend, self.feed = SelfAttention(shape), Feed(shape)
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(2))
        self.drop = nn.Dropout(dropout)

    def forward(self, x_BSD: torch.Tensor, mask_B11S: torch.Tensor) -> torch.Tensor:
        """One layer further."""
        attended, _ = self.attend(self.norms[0](x_BSD), mask_B11S)
        x_BSD = x_BSD + self.drop(attended)
        return x_BSD + self.drop(self.feed(self.norms[1](x_BSD)))


class DecoderLayer(nn.Module):
    """Self-attention, attention to the source, and a feed-forward part.

    Legend: `attend`, `cross`, `feed` the sublayers, `norms` stand before them, `drop` after.
    """

    def __init__(self, shape: Shape, dropout: float) -> None:
        super().__init__()
        self.attend, self.cross, self.feed = (
            SelfAttention(shape),
            CrossAttention(shape),
            Feed(shape),
        )
        self.norms = nn.ModuleList(nn.LayerNorm(shape.width) for _ in range(3))
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x_BTD: torch.Tensor, keys: Pair, mask_B11S: torch.Tensor, past: Pair | None = None
    ) -> tuple[torch.Tensor, Pair]:
        """One layer further, and its keys and values with those of the past before them."""
        attended, seen = self.attend(self.norms[0](x_BTD), None, past)
        x_BTD = x_BTD + self.drop(attended)
        x_BTD = x_BTD + self.drop(self.cross(self.norms[1](x_BTD), keys, mask_B11S))
        return x_BTD + self.drop(self.feed(self.norms[2](x_BTD))), seen


class Translator(nn.Module):
    """Encoder and decoder.

    Legend: `shape` the sizes, `embedding` shared by source, target and projection, `encoder` and
    `decoder` the layers, `encoded` and `decoded` the last norms, `drop` acts on embeddings,
    `positions` the sinusoids (positions, D).
    """

    positions: torch.Tensor

    def __init__(self, shape: Shape, dropout: float = 0.1) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width, padding_idx=PAD)
        self.encoder = nn.ModuleList(
            EncoderLayer(shape, dropout) for _ in range(shape.encoder_layers)
        )
        self.decoder = nn.ModuleList(
            DecoderLayer(shape, dropout) for _ in range(shape.decoder_layers)
        )
        self.encoded, self.decoded = nn.LayerNorm(shape.width), nn.LayerNorm(shape.width)
        self.drop = nn.Dropout(dropout)
        self.register_buffer("positions", sinusoids(shape.positions, shape.width), persistent=False)
        self._initialize()

    def _initialize(self) -> None:
        for param in self.parameters():
            if param.dim() > 1:
                nn.init.xavier_uniform_(param)
        nn.init.normal_(self.embedding.weight, std=self.shape.width**-0.5)
        with torch.no_grad():
            self.embedding.weight[PAD].zero_()

    def embed(self, tokens: torch.Tensor, first: int = 0) -> torch.Tensor:
        """Scaled embeddings of tokens, the first of which stands at this position."""
        positions = self.positions[first : first + tokens.shape[1]]
        embedded = self.embedding(tokens) * math.sqrt(self.shape.width) + positions
        return self.drop(embedded)

    def encode(self, source_BS: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The encoded source (B, S, D), and where it is no padding (B, 1, 1, S)."""
        mask_B11S = (source_BS != PAD)[:, None, None, :]
        x_BSD = self.embed(source_BS)
        for layer in self.encoder:
            x_BSD = layer(x_BSD, mask_B11S)
        return self.encoded(x_BSD), mask_B11S

    def keys(self, memory_BSD: torch.Tensor) -> list[Pair]:
        """Keys and values of the source for each layer of the decoder."""
        return [layer.cross.keys(memory_BSD) for layer in self.decoder]

    def step(
        self,
        tokens_BT: torch.Tensor,
        keys: list[Pair],
        mask_B11S: torch.Tensor,
        past: list[Pair] | None = None,
    ) -> tuple[torch.Tensor, list[Pair]]:
        """States (B, T, D) of tokens behind the past, and the past with them at its end."""
        x_BTD = self.embed(tokens_BT, first=past[0][0].shape[2] if past else 0)
        seen = []
        for number, layer in enumerate(self.decoder):
            x_BTD, pair = layer(x_BTD, keys[number], mask_B11S, past[number] if past else None)
            seen.append(pair)
        return self.decoded(x_BTD), seen

    def project(self, states_BTD: torch.Tensor) -> torch.Tensor:
        """Logits (B, T, V)."""
        return nn.functional.linear(states_BTD, self.embedding.weight)

    def forward(self, source_BS: torch.Tensor, target_BT: torch.Tensor) -> torch.Tensor:
        """States (B, T, D) of a target whose tokens are all known."""
        memory_BSD, mask_B11S = self.encode(source_BS)
        return self.step(target_BT, self.keys(memory_BSD), mask_B11S)[0]


def sinusoids(positions: int, width: int) -> torch.Tensor:
    """Sines in the first half of the width and cosines in the second: (positions, D)."""
    exponents = torch.arange(width // 2) / (width // 2)
    angles = torch.arange(positions)[:, None] * 10000.0**-exponents
    return torch.cat((angles.sin(), angles.cos()), 1)
