"""Refinements of a spec, kept if samples that it was not made of gain by them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import attrs

from deepseek_compress.qspec import QuantSpec

BIASED: Final = ("Conv", "Gemm")
"""Operators whose bias can make up for what their weight lost."""


def refined(
    spec: QuantSpec,
    error: float,
    means: Mapping[str, tuple[float, ...]],
    measure: Callable[[QuantSpec], float],
) -> tuple[QuantSpec, tuple[str, ...]]:
    """The spec, or the refinement of it whose error by `measure` is least, with a note.

    Rounding so that sums stay, and biases that make up for what weights lost, help where inputs of
    a layer are far from a mean of 0; one by one or both, which no rule tells beforehand.
    """
    summed = _with_sums(spec)
    tried = {
        "weights rounded so that their sums stay": summed,
        "biases that make up for what weights lost": _with_means(spec, means),
        "weights rounded so that their sums stay, biases for the rest": _with_means(summed, means),
    }
    found = {what: measure(changed) for what, changed in tried.items()}
    best = min(found, key=lambda what: found[what])
    if not found[best] < error:
        return spec, ()
    return tried[best], (f"{best}: relative error {error:.3g} -> {found[best]:.3g}",)


def _with_sums(spec: QuantSpec) -> QuantSpec:
    weights = {n: attrs.evolve(w, rounding="sum") for n, w in spec.weights.items()}
    return attrs.evolve(spec, weights=weights)


def _with_means(spec: QuantSpec, means: Mapping[str, tuple[float, ...]]) -> QuantSpec:
    ranges = {n: attrs.evolve(r, means=means.get(n, ())) for n, r in spec.activations.items()}
    return attrs.evolve(spec, activations=ranges)
