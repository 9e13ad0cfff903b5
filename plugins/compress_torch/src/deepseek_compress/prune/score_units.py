"""Score the units of a traced model: layer by layer, normalized, averaged over coupled layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from torch import Tensor

from deepseek_compress.errors import CannotPrune
from deepseek_compress.prune.observe import Activations, Loss, activations, gradients
from deepseek_compress.prune.pruner import Pruner
from deepseek_compress.prune.run import Weight
from deepseek_compress.prune.scores import find_score
from deepseek_core import DeepSeekError, compression


def score_units(
    pruner: Pruner,
    score: str | compression.Score,
    *,
    batches: Iterable[Any] | None = None,
    loss: Loss | None = None,
    seed: int = 0,
) -> np.ndarray:
    """One figure for each unit of the model, larger for what should stay.

    Args:
        pruner: of the model.
        score: its name, of ours or of a plugin, or the score itself.
        batches: each a tensor or array of inputs, or a tuple (inputs, target, ...).
        loss: called with the output and the rest of the batch, for scores by gradients.
        seed: of scores by chance.

    Raises:
        ConfigError: there is no such score; the nearest one is named.
        CannotPrune: its data are missing, it fails, or it gives no numbers.
    """
    score = find_score(score) if isinstance(score, str) else score
    data = _Data(pruner, score, batches, loss)
    totals, counts = np.zeros(pruner.structure.unit_count), np.zeros(pruner.structure.unit_count)
    rng = np.random.default_rng(seed)
    for weight, role, units in _layers(pruner, score):
        view = data.view(weight, role, units, rng)
        values = _checked(score, view)
        # Below zero a mean says nothing of sizes, and what a plan loses would be a gain.
        values = values - min(values.min(initial=0.0), 0.0)
        mean = values.mean()
        inside = units >= 0
        np.add.at(totals, units[inside], (values / mean if mean > 0 else values)[inside])
        np.add.at(counts, units[inside], 1)
    return totals / np.maximum(counts, 1)


def _layers(pruner: Pruner, score: compression.Score) -> Iterable[tuple[Weight, str, np.ndarray]]:
    """Weights with an axis of units, in the roles that the score looks at; shared ones once."""
    axes = {(axis.parameter, axis.axis): axis.units for axis in pruner.structure.axes}
    seen = set()
    for weight in pruner.structure.weights:
        for role, axis in (("out", weight.out), ("in", weight.into)):
            key = (weight.name, axis)
            if role in score.roles and weight.kind != "norm" and key in axes and key not in seen:
                seen.add(key)
                yield weight, role, axes[weight.name, axis or 0]


def _checked(score: compression.Score, view: compression.LayerView) -> np.ndarray:
    try:
        values = np.asarray(score.measure(view), dtype=float)
    except DeepSeekError:
        raise
    except Exception as error:  # a score may be anybody's
        raise CannotPrune(
            f"{score.name} of {view.layer} fails: {type(error).__name__}: {error}",
            operation="score",
            layer=view.layer,
            remedy="correct that score, or use another one",
        ) from error
    if values.shape != (len(view.weight),) or not np.isfinite(values).all():
        raise CannotPrune(
            f"{score.name} of {view.layer} is not one finite figure for each channel",
            operation="score",
            layer=view.layer,
        )
    return values


class _Data:
    """What a score may see, gathered once."""

    def __init__(
        self,
        pruner: Pruner,
        score: compression.Score,
        batches: Iterable[Any] | None,
        loss: Loss | None,
    ) -> None:
        self.tensors: dict[str, Tensor] = {
            **dict(pruner.model.named_parameters()),
            **dict(pruner.model.named_buffers()),
        }
        kept = None if batches is None else list(batches)
        if score.needs and not kept:
            raise CannotPrune(
                f"{score.name} looks at data", operation="score", remedy="pass `batches`"
            )
        if "gradients" in score.needs and loss is None:
            raise CannotPrune(
                f"{score.name} follows a loss", operation="score", remedy="pass `loss`"
            )
        # of activations; None: the score does not look at them
        self.seen: Activations | None = None
        # (parameter, role) -> figure of each unit; empty without a loss
        self.taylor: dict[tuple[str, str], np.ndarray] = {}
        if "activations" in score.needs:
            self.seen = activations(pruner, kept or [])
        if "gradients" in score.needs and loss is not None:
            self.taylor = gradients(pruner, kept or [], loss)
        self.gains = _gains(pruner, self.tensors)

    def view(
        self, weight: Weight, role: str, units: np.ndarray, rng: np.random.Generator
    ) -> compression.LayerView:
        axis = (weight.out if role == "out" else weight.into) or 0
        rows = self.tensors[weight.name].detach().movedim(axis, 0).flatten(1)
        gain = self.gains[units]
        return compression.LayerView(
            layer=weight.layer or weight.name,
            role=role,
            weight=_closed(rows.double().cpu().numpy()),
            rng=rng,
            gain=None if np.isnan(gain).all() else _closed(np.nan_to_num(gain)),
            mean_activation=None if self.seen is None else _filled(self.seen.mean, units),
            active_share=None if self.seen is None else _filled(self.seen.share, units),
            taylor=_closed(self.taylor.get((weight.name, role), np.zeros(len(units)))),
        )


def _closed(array: np.ndarray) -> np.ndarray:
    """The array, which a score can't write to: it may be the model's own memory."""
    array.flags.writeable = False
    return array


def _filled(by_unit: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Values of a layer's entries; those that were not seen have the mean of the others."""
    found = np.where(units >= 0, by_unit[units], np.nan)
    known = found[~np.isnan(found)]
    return _closed(np.where(np.isnan(found), known.mean() if len(known) else 1.0, found))


def _gains(pruner: Pruner, tensors: Mapping[str, Tensor]) -> np.ndarray:
    """Mean magnitude of the norms' scales by unit, NaN without a norm; one more for -1."""
    axes = {(axis.parameter, axis.axis): axis.units for axis in pruner.structure.axes}
    count = pruner.structure.unit_count
    total, number = np.zeros(count + 1), np.zeros(count + 1)
    for weight in pruner.structure.weights:
        units = axes.get((weight.name, 0))
        if weight.kind == "norm" and units is not None:
            np.add.at(total, units, tensors[weight.name].detach().abs().double().cpu().numpy())
            np.add.at(number, units, 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / number)
