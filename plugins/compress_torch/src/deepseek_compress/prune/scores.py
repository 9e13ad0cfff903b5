"""Scores of channels: how much a layer's channel matters, by its weights and by data.

A score looks at one layer at a time. What it gives is divided by the layer's mean, and a unit
has the mean over all its entries in all its layers. More scores come in by the mapping that is
passed where a score is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import attrs
import numpy as np


@attrs.frozen(kw_only=True)
class LayerView:
    """One layer as a score sees it; rows are channels.

    `weight`: (channels, entries), the filters, or for `role` "in" what is read of each channel;
    `gain`: the scale of the norm after it; `mean_activation` and `active_share`: mean and share of
    positive values after the activation function; `taylor`: squares of the sums of gradient
    times weight, summed over batches. None where it was not asked for or is not there.
    """

    layer: str
    role: str
    weight: np.ndarray
    rng: np.random.Generator
    gain: np.ndarray | None = None
    mean_activation: np.ndarray | None = None
    active_share: np.ndarray | None = None
    taylor: np.ndarray | None = None


@attrs.frozen(kw_only=True)
class Score:
    """A way to score channels: `measure(view)` gives one figure for each, larger for better.

    `needs`: "activations" (batches) and "gradients" (batches and a loss); `roles`: "out" for
    layers that make the channels, "in" for those that read them.
    """

    name: str
    measure: Callable[[LayerView], np.ndarray]
    needs: frozenset[str] = frozenset()
    roles: tuple[str, ...] = ("out",)


def _random(view: LayerView) -> np.ndarray:
    """Chance, the control."""
    return view.rng.random(len(view.weight))


def _l1(view: LayerView) -> np.ndarray:
    """Sum of magnitudes (Li 2017, arXiv:1608.08710)."""
    return np.asarray(np.abs(view.weight).sum(1))


def _l2(view: LayerView) -> np.ndarray:
    """Euclidean norm; over all coupled layers the group norm (Fang 2023, arXiv:2301.12900)."""
    return np.asarray(np.sqrt((view.weight**2).sum(1)))


def _bn_scale(view: LayerView) -> np.ndarray:
    """Magnitude of the norm's scale (Liu 2017, arXiv:1708.06519); L2 where there is no norm."""
    return _l2(view) if view.gain is None else np.abs(view.gain)


def _taylor(view: LayerView) -> np.ndarray:
    """First-order change of the loss (Molchanov, CVPR 2019)."""
    assert view.taylor is not None
    return np.asarray(view.taylor)


def _fpgm(view: LayerView) -> np.ndarray:
    """Distance to all other filters of the layer (He, CVPR 2019)."""
    squares = (view.weight**2).sum(1)
    gram = view.weight @ view.weight.T
    return np.asarray(np.sqrt(np.maximum(squares[:, None] + squares - 2 * gram, 0)).sum(1))


def _apoz(view: LayerView) -> np.ndarray:
    """Share of values that are not zero (Hu 2016, arXiv:1607.03250)."""
    assert view.active_share is not None
    return np.asarray(view.active_share)


def _cis_mean(view: LayerView) -> np.ndarray:
    """L1 norm of the filter times the mean activation."""
    assert view.mean_activation is not None
    return np.asarray(_l1(view) * view.mean_activation)


def _cis_frequency(view: LayerView) -> np.ndarray:
    """L1 norm of the filter times the share of positive activations."""
    assert view.active_share is not None
    return np.asarray(_l1(view) * view.active_share)


_GRADIENTS, _ACTIVATIONS = frozenset({"gradients"}), frozenset({"activations"})
SCORES: Mapping[str, Score] = MappingProxyType(
    {
        score.name: score
        for score in (
            Score(name="random", measure=_random),
            Score(name="l1", measure=_l1),
            Score(name="group_l2", measure=_l2, roles=("out", "in")),
            Score(name="bn_scale", measure=_bn_scale),
            Score(name="taylor", measure=_taylor, needs=_GRADIENTS),
            Score(name="fpgm", measure=_fpgm),
            Score(name="apoz", measure=_apoz, needs=_ACTIVATIONS),
            Score(name="cis_mean", measure=_cis_mean, needs=_ACTIVATIONS),
            Score(name="cis_frequency", measure=_cis_frequency, needs=_ACTIVATIONS),
        )
    }
)
