"""Sequences: attention, recurrent layers, tokens."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from prune_idiom import conv, idiom
from torch import Tensor, nn


@idiom((2, 5, 6), prunable="into attention")
class MultiHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(6, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        return self.head(self.attention(x, x, x, need_weights=False)[0])


@idiom((2, 5, 16), prunable="qkv")
class PackedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out, self.heads, self.scale = (
            nn.Linear(16, 48),
            nn.Linear(16, 16),
            2,
            8**-0.5,
        )

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        scores = (q @ k.transpose(-2, -1)) * self.scale
        x = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, t, -1)
        return self.out(x)


@idiom((2, 5, 16), prunable="q v")
class SplitAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.out = (
            nn.Linear(16, 24),
            nn.Linear(16, 24),
            nn.Linear(16, 32),
            nn.Linear(32, 16),
        )

    def heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:2], 4, x.shape[2] // 4).transpose(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.heads(self.q(x)), self.heads(self.k(x)), self.heads(self.v(x))
        x = F.scaled_dot_product_attention(q, k, v, scale=0.4)
        return self.out(x.transpose(1, 2).flatten(2))


@idiom((2, 1, 16, 8), prunable="conv rnn")
class ConvIntoLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = conv(1, 8), nn.BatchNorm2d(8)
        self.rnn = nn.LSTM(64, 12, num_layers=2, bidirectional=True, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x)))
        return self.head(self.rnn(x.permute(0, 2, 1, 3).flatten(2))[0])


@idiom((5, 2, 6), prunable="into rnn")
class GRULastState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into, self.rnn, self.head = nn.Linear(6, 16), nn.GRU(16, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.into(x))[1][-1])


@idiom((2, 3, 6), prunable="cell")
class LSTMCellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.LSTMCell(6, 12), nn.Linear(12, 3)

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return self.head(state[0])


@idiom((2, 7), words=20, prunable="table up")
class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.up, self.head = (
            nn.Embedding(20, 16, padding_idx=0),
            nn.Linear(16, 24),
            nn.Linear(24, 3),
        )

    def forward(self, index: Tensor) -> Tensor:
        return self.head(F.relu(self.up(self.table(index)).mean(1)))


@idiom((2, 7), words=20, prunable="table up down")
class TiedWeights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.up, self.down = nn.Embedding(20, 16), nn.Linear(16, 24), nn.Linear(24, 16)
        self.head = nn.Linear(16, 20, bias=False)
        self.head.weight = self.table.weight

    def forward(self, index: Tensor) -> Tensor:
        x = self.table(index)
        return self.head(x + self.down(F.relu(self.up(x))))


@idiom((2, 3, 8, 8), prunable="patch up")
class PatchTokens(nn.Module):
    """Patches, a class token and positions, as vision transformers begin."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=4)
        self.token = nn.Parameter(torch.randn(1, 1, 16))
        self.positions = nn.Parameter(torch.randn(1, 5, 16))
        self.up, self.head = nn.Linear(16, 24), nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], 1) + self.positions
        return self.head(F.gelu(self.up(x))[:, 0])


@idiom((2, 4, 24), prunable="a norm gate b")
class CausalConv(nn.Module):
    """Time is padded by concatenation; a learned gain; a gate with one channel."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.gate = (
            nn.Conv1d(4, 16, 3),
            nn.Conv1d(16, 12, 3, dilation=2),
            nn.Conv1d(16, 8, 1),
        )
        self.norm, self.one, self.head = (
            nn.Conv1d(16, 16, 1),
            nn.Conv1d(8, 1, 1),
            nn.Conv1d(12, 3, 1),
        )
        self.gain = nn.Parameter(torch.rand(16, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = self.a(torch.cat([torch.zeros_like(x[..., :2]), x], -1))
        x = self.norm(x * torch.exp(self.gain))
        x = x * torch.sigmoid(self.one(self.gate(x).relu()))
        x = torch.cat([x.new_zeros(x.shape[0], x.shape[1], 4), x], 2)
        return self.head(self.b(x).relu())


@idiom((2, 8, 9), prunable="keys queries values")
class NormalizedKeys(nn.Module):
    """Unit vectors: what is normalized over channels is exact with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.keys, self.queries, self.values = nn.Linear(9, 16), nn.Linear(9, 16), nn.Linear(9, 24)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        k, q = F.normalize(self.keys(x), dim=-1), F.normalize(self.queries(x), dim=-1)
        scores = torch.einsum("bic,bjc->bij", q, k) * math.sqrt(7)
        return self.head(torch.bmm(scores.softmax(-1), self.values(x)))
