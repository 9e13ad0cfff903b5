"""The feature map of a run: all that was fitted on its training part, and how it is stored.

Legend: N rows, M columns of numbers, C columns of categories, F = M + C fields.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from deepseek_apps.ctr.features.numbers import NumberField, fit_numbers
from deepseek_apps.ctr.features.vocabulary import Vocabulary, fit_vocabulary
from deepseek_apps.ctr.table import Columns, Floats, Inputs, Ints
from deepseek_core import errors

SCHEMA = 1


@attrs.frozen(kw_only=True, eq=False)
class Encoded:
    """Rows as a network reads them: `ids` (N, F) with their offsets in, `numbers` (N, M)."""

    ids: Ints
    numbers: Floats


@attrs.frozen(kw_only=True)
class FeatureMap:
    """Fields in the order of their ids: numbers, then categories."""

    numbers: tuple[NumberField, ...]
    categories: tuple[Vocabulary, ...]

    @property
    def fields(self) -> tuple[NumberField | Vocabulary, ...]:
        """All fields, in the order of their ids."""
        return (*self.numbers, *self.categories)

    @property
    def columns(self) -> Columns:
        """The columns that it reads."""
        return Columns(
            numbers=[field.name for field in self.numbers],
            categories=[field.name for field in self.categories],
        )

    @property
    def offsets(self) -> Ints:
        """Where each field's rows begin in the table, and their number at the end."""
        sizes = [field.num_ids for field in self.fields]
        return np.cumsum([0, *sizes])

    def category_ids(self, inputs: Inputs) -> Ints:
        """Ids (N, C) of the categories, without offsets."""
        found = [field.ids(inputs.categories[:, at]) for at, field in enumerate(self.categories)]
        return np.stack(found, axis=1) if found else np.zeros((len(inputs), 0), np.int64)

    def encode(self, inputs: Inputs) -> Encoded:
        """Rows of these inputs.

        Raises:
            InputError: they have other columns.
        """
        self.check(inputs.columns)
        bins = [field.bins(inputs.numbers[:, at]) for at, field in enumerate(self.numbers)]
        scaled = [field.scaled(inputs.numbers[:, at]) for at, field in enumerate(self.numbers)]
        empty = np.zeros((len(inputs), 0))
        binned = np.stack(bins, axis=1) if bins else empty.astype(np.int64)
        ids = np.concatenate((binned, self.category_ids(inputs)), axis=1)
        return Encoded(
            ids=ids + self.offsets[:-1],
            numbers=np.stack(scaled, axis=1) if scaled else empty.astype(np.float32),
        )

    def check(self, columns: Columns) -> None:
        """Refuse other columns than those it was fitted on.

        Raises:
            InputError: they differ.
        """
        if columns != self.columns:
            raise errors.InputError(
                f"these data have the columns {columns.numbers + columns.categories}, and the "
                f"features were fitted on {self.columns.numbers + self.columns.categories}",
                remedy="give data with the columns of the training, or train on these",
            )

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that was fitted."""
        text = json.dumps(attrs.asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def to_json(self) -> str:
        """Write it as text, with its fingerprint."""
        content = {"schema": SCHEMA, "fingerprint": self.fingerprint, **attrs.asdict(self)}
        return json.dumps(content, indent=1) + "\n"


def fit_features(inputs: Inputs, *, num_bins: int, min_count: int) -> FeatureMap:
    """A map fitted on these inputs: give the training part alone."""
    numbers = [
        fit_numbers(name, inputs.numbers[:, at], num_bins)
        for at, name in enumerate(inputs.columns.numbers)
    ]
    categories = [
        fit_vocabulary(name, inputs.categories[:, at], min_count)
        for at, name in enumerate(inputs.columns.categories)
    ]
    return FeatureMap(numbers=tuple(numbers), categories=tuple(categories))


def features_from_json(text: str, where: str) -> FeatureMap:
    """Read a map back.

    Raises:
        ArtifactError: it is not one, or was changed.
    """
    try:
        content: Mapping[str, Any] = json.loads(text)
        found = FeatureMap(
            numbers=tuple(NumberField(**field) for field in content["numbers"]),
            categories=tuple(
                Vocabulary(name=field["name"], values=tuple(field["values"]))
                for field in content["categories"]
            ),
        )
        stored = content["fingerprint"], content["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise errors.ArtifactError(
            f"{where} is no feature map: {error}", remedy="train again: it is written there"
        ) from error
    if stored != (found.fingerprint, SCHEMA):
        raise errors.ArtifactError(
            f"{where} was changed after it was written, or is of another version",
            remedy="train again, and leave the file as it is",
        )
    return found
