"""Embedding whose rare ids have fewer numbers (Baevski & Auli 2019; Dai et al. 2019)."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn


class AdaptiveEmbedding(nn.Module):
    """Embeds ids, sorted by falling frequency, in bands of falling width.

    `bounds` are first and end of each of the `bands`; band i has width / division ** i numbers,
    which `projections` bring to the full width. `scale` multiplies what comes out. One band with
    division 1 is a plain embedding.
    """

    def __init__(
        self, vocabulary: int, width: int, cutoffs: tuple[int, ...], division: int
    ) -> None:
        super().__init__()
        self.bounds = tuple(itertools.pairwise((0, *cutoffs, vocabulary)))
        widths = [width // division**band for band in range(len(self.bounds))]
        self.bands = nn.ModuleList(
            nn.Embedding(end - start, narrow)
            for (start, end), narrow in zip(self.bounds, widths, strict=True)
        )
        self.projections = nn.ModuleList(
            nn.Linear(narrow, width, bias=False) if division > 1 else nn.Identity()
            for narrow in widths
        )
        self.scale = width**0.5
        for band in self.bands:  # what comes out has a variance of 1
            nn.init.normal_(band.weight, std=width**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed ids (N, T) as (N, T, D), scaled by the root of D."""
        parts = zip(self.bounds, self.bands, self.projections, strict=True)
        return self.scale * sum(self._band(ids, *part) for part in parts)

    def _band(
        self, ids: Tensor, bounds: tuple[int, int], band: nn.Module, project: nn.Module
    ) -> Tensor:
        start, end = bounds
        vectors = project(band((ids - start).clamp(0, end - start - 1)))
        if len(self.bounds) == 1:
            return vectors
        inside = ((ids >= start) & (ids < end)).unsqueeze(-1)
        return torch.where(inside, vectors, torch.zeros((), dtype=vectors.dtype, device=ids.device))
