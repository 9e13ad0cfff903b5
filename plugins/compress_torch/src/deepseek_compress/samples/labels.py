"""Labels of classes: whole numbers from 0, one for each sample."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from deepseek_core import errors

Array = npt.NDArray[Any]

_IGNORED: Final = (-100, -1, 255)  # what data sets call no class


class OneClass(UserWarning):
    """A data set with samples of one class only: what is measured on it says little."""


def class_labels(labels: Array | None, classes: int, where: str) -> npt.NDArray[np.int64]:
    """The labels as int64, checked against the number of the model's outputs.

    An axis of one that follows the samples is dropped.

    Raises:
        InputError: no labels, fractions, one-hot vectors, or a class that the model has not.
    """
    if labels is None:
        raise errors.InputError(f"{where} has no labels", remedy="return (x, y)")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim == 2 and labels.shape[1] == classes and _one_hot(labels):
        raise errors.InputError(
            f"{where}: labels are one-hot vectors, shape {labels.shape}",
            remedy="give class numbers: y.argmax(axis=1)",
        )
    if labels.dtype.kind not in "iu":
        raise errors.InputError(
            f"{where}: labels have dtype {labels.dtype}, and classes are whole numbers",
            remedy="give class numbers: y.astype(np.int64); or a loss and a metric of your own",
        )
    _check_range(labels, classes, where)
    return labels.astype(np.int64)


def _one_hot(labels: Array) -> bool:
    return bool(np.isin(labels, (0, 1)).all() and (labels.sum(axis=1) == 1).all())


def _check_range(labels: Array, classes: int, where: str) -> None:
    low, high = int(labels.min()), int(labels.max())
    if low >= 0 and high < classes:
        return
    remedy = f"labels go from 0 to {classes - 1}"
    if low == 1 and high == classes:
        remedy = "count classes from 0: y - 1"
    elif low in _IGNORED or high in _IGNORED:
        remedy += (
            "; leave samples out that have no class, or give a loss and a metric that mask them: "
            "data.loss, data.metric"
        )
    raise errors.InputError(
        f"{where}: labels go from {low} to {high}, and the model tells {classes} classes apart",
        remedy=remedy,
    )


def counts_of(labels: Sequence[Array]) -> npt.NDArray[np.int64]:
    """How many samples each class has."""
    return np.bincount(np.concatenate([np.asarray(part).reshape(-1) for part in labels]))


def warn_of_one_class(counts: npt.NDArray[np.int64], where: str) -> None:
    """Warn where all samples are of one class."""
    if np.count_nonzero(counts) == 1 and counts.sum() > 1:
        text = f"{where}: all {counts.sum()} samples are of class {int(counts.argmax())}"
        warnings.warn(text, OneClass, stacklevel=3)
