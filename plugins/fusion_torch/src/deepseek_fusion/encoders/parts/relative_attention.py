"""Attention by relative positions, and the layer around it (Dai et al. 2019, Transformer-XL).

Legend: N rows · H heads · E width of a head · D width of a token · T queries · K keys: the
memory, then the queries themselves. Suffixes of names are these letters in lower case.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def relative_shift(scores_nhtk: Tensor) -> Tensor:
    """Move the scores of row `t` left by T - 1 - t, so that column and key agree.

    Columns come in by falling distance. A column of padding and a change of the shape shift
    every row by one more than the row before (appendix B of the paper).
    """
    n, h, t, k = scores_nhtk.shape
    padded = torch.nn.functional.pad(scores_nhtk, (1, 0))
    return padded.reshape(n, h, k + 1, t)[:, :, 1:].reshape(n, h, t, k)


class RelativeAttention(nn.Module):
    """Scores each key by content and by distance, both with a bias for all queries.

    `queries`, `keys_values`, `distances` and `out` project to `heads` of `head_width` and back;
    `content_bias` is the paper's u, `distance_bias` its v; `dropout` is that of the shares.
    """

    def __init__(self, width: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.head_width = heads, head_width
        inner = heads * head_width
        self.queries = nn.Linear(width, inner, bias=False)
        self.keys_values = nn.Linear(width, 2 * inner, bias=False)
        self.distances = nn.Linear(width, inner, bias=False)
        self.out = nn.Linear(inner, width, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(heads, head_width))
        self.distance_bias = nn.Parameter(torch.zeros(heads, head_width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, h_ntd: Tensor, seen_nkd: Tensor, far_kd: Tensor, may_ntk: Tensor) -> Tensor:
        """Gather from `seen_nkd` where `may_ntk` allows it; `far_kd` embeds K - 1 ... 0."""
        q_nthe = self._heads(self.queries(h_ntd))
        k_nkhe, v_nkhe = map(self._heads, self.keys_values(seen_nkd).chunk(2, -1))
        scores = self._scores(q_nthe, k_nkhe, self._heads(self.distances(far_kd)))
        scores = scores.float().masked_fill(~may_ntk.unsqueeze(1), torch.finfo(torch.float32).min)
        shares = self.dropout(scores.softmax(-1)).to(v_nkhe.dtype)
        found = torch.einsum("nhtk,nkhe->nthe", shares, v_nkhe)
        return self.out(found.flatten(2))

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, self.head_width))

    def _scores(self, q_nthe: Tensor, k_nkhe: Tensor, far_khe: Tensor) -> Tensor:
        content = torch.einsum("nthe,nkhe->nhtk", q_nthe + self.content_bias, k_nkhe)
        distance = torch.einsum("nthe,khe->nhtk", q_nthe + self.distance_bias, far_khe)
        return (content + relative_shift(distance)) * self.head_width**-0.5


class RelativeLayer(nn.Module):
    """Attention, then two linear layers, each with residual and normalization after it.

    `attention` with `attention_norm`; `feed`, the two linear layers, with `feed_norm`; `dropout`
    is that of what attention found.
    """

    def __init__(self, width: int, heads: int, head_width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.attention = RelativeAttention(width, heads, head_width, dropout)
        self.attention_norm = nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, inner),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(inner, width),
            nn.Dropout(dropout),
        )
        self.feed_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h_ntd: Tensor, seen_nkd: Tensor, far_kd: Tensor, may_ntk: Tensor) -> Tensor:
        """Give the hidden states of the next layer."""
        found = self.dropout(self.attention(h_ntd, seen_nkd, far_kd, may_ntk))
        h_ntd = self.attention_norm(h_ntd + found)
        return self.feed_norm(h_ntd + self.feed(h_ntd))
