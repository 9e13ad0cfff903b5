"""Scores of channels: how much a layer's channel matters, by its weights and by data.

A score looks at one layer at a time. What it gives is divided by the layer's mean, raised before
by its least where that is negative, and a unit has the mean over all its entries in all its
layers. More of them come from plugins: records of target "channels".
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final

import attrs
import numpy as np

from deepseek_core import OpenedCompressor, compression, errors, open_compressor


def _random(view: compression.LayerView) -> np.ndarray:
    """Chance, the control."""
    return np.asarray(view.rng.random(len(view.weight)))


def _l1(view: compression.LayerView) -> np.ndarray:
    """Sum of magnitudes (Li 2017, arXiv:1608.08710)."""
    return np.asarray(np.abs(view.weight).sum(1))


def _l2(view: compression.LayerView) -> np.ndarray:
    """Euclidean norm; over all coupled layers the group norm (Fang 2023, arXiv:2301.12900)."""
    return np.asarray(np.sqrt((view.weight**2).sum(1)))


def _bn_scale(view: compression.LayerView) -> np.ndarray:
    """Magnitude of the norm's scale (Liu 2017, arXiv:1708.06519); L2 where there is no norm."""
    return _l2(view) if view.gain is None else np.abs(view.gain)


def _taylor(view: compression.LayerView) -> np.ndarray:
    """First-order change of the loss (Molchanov, CVPR 2019)."""
    assert view.taylor is not None
    return np.asarray(view.taylor)


def _fpgm(view: compression.LayerView) -> np.ndarray:
    """Distance to all other filters of the layer (He, CVPR 2019)."""
    squares = (view.weight**2).sum(1)
    gram = view.weight @ view.weight.T
    return np.asarray(np.sqrt(np.maximum(squares[:, None] + squares - 2 * gram, 0)).sum(1))


def _apoz(view: compression.LayerView) -> np.ndarray:
    """Share of values that are not zero (Hu 2016, arXiv:1607.03250)."""
    assert view.active_share is not None
    return np.asarray(view.active_share)


def _cis_mean(view: compression.LayerView) -> np.ndarray:
    """L1 norm of the filter times the mean activation."""
    assert view.mean_activation is not None
    return np.asarray(_l1(view) * view.mean_activation)


def _cis_frequency(view: compression.LayerView) -> np.ndarray:
    """L1 norm of the filter times the share of positive activations."""
    assert view.active_share is not None
    return np.asarray(_l1(view) * view.active_share)


_OURS: Final = "deepseek-compress"
_GRADIENTS, _ACTIVATIONS = ("gradients",), ("activations",)
SCORES: Final[Mapping[str, compression.Score]] = MappingProxyType(
    {
        score.name: score
        for score in (
            compression.Score(name="random", measure=_random),
            compression.Score(name="l1", measure=_l1),
            compression.Score(name="group_l2", measure=_l2, roles=("out", "in")),
            compression.Score(name="bn_scale", measure=_bn_scale),
            compression.Score(name="taylor", measure=_taylor, needs=_GRADIENTS),
            compression.Score(name="fpgm", measure=_fpgm),
            compression.Score(name="apoz", measure=_apoz, needs=_ACTIVATIONS),
            compression.Score(name="cis_mean", measure=_cis_mean, needs=_ACTIVATIONS),
            compression.Score(name="cis_frequency", measure=_cis_frequency, needs=_ACTIVATIONS),
        )
    }
)


def find_score(text: str) -> compression.Score:
    """The score of that name: one of `SCORES`, or of a plugin; `distribution:name` says whose.

    Raises:
        ConfigError: there is none (the nearest one is named), it has two owners and the text does
            not say which, or that plugin lacks what it needs.
    """
    wanted, _, name = text.rpartition(":")
    offered = OpenedCompressor.offered("channels")
    owners = [_OURS] if name in SCORES else []
    owners += [offered[name]] if name in offered else []
    found = [dist for dist in owners if wanted in ("", dist)]
    if len(found) > 1:
        lines = (f'score = "{dist}:{name}"' for dist in found)
        raise errors.ConfigError(
            f"score {name!r} is offered by {' and by '.join(found)}",
            remedy=f"say whose: {' or '.join(lines)}",
        )
    if not found:
        known = [f"{dist}:{name}" for dist in owners] or [*SCORES, *offered]
        close = get_close_matches(text, known, n=1)
        raise errors.ConfigError(
            f"there is no score {text!r}",
            remedy=f"did you mean {close[0]!r}?" if close else f"one of {', '.join(known)}",
        )
    if found == [_OURS]:
        return SCORES[name]
    score = open_compressor(name).compressor
    assert isinstance(score, compression.Score)
    return attrs.evolve(score, name=name)
