"""Rows as arrays: what files and the job's own graph have in common.

Legend: N rows, L characters, C channels, S pixels a side, T samples.

| array           | type         | missing where        |
|-----------------|--------------|----------------------|
| `text` (N, L)   | int64        | all are 0            |
| `picture` (N, C, S, S) | uint8 | `picture_there` (N,) is false |
| `sound` (N, T)  | float32      | `sound_length` (N,), in samples, is 0 |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_core import errors
from deepseek_fusion.job.alphabet import Alphabet
from deepseek_fusion.job.pictures import read_picture
from deepseek_fusion.job.sounds import read_sound
from deepseek_fusion.job.table import Row

Arrays = dict[str, npt.NDArray[Any]]
Told = Callable[[int, int], None]

FRAME = 40
"""Samples of a sound that become one token; longest sounds are whole frames of them."""


def _names(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Form:
    """What a model takes: modalities, alphabet, labels and sizes; as JSON beside each model."""

    modalities: tuple[str, ...] = attrs.field(converter=_names)
    labels: tuple[str, ...] = attrs.field(converter=_names)
    characters: str
    longest_text: int
    picture_size: int
    color: bool
    rate: int
    longest_sound: int

    @property
    def alphabet(self) -> Alphabet:
        """The characters of the training part."""
        return Alphabet(self.characters)

    @property
    def channels(self) -> int:
        """Channels of a picture."""
        return 3 if self.color else 1

    def facts(self) -> dict[str, Any]:
        """Values for JSON."""
        return attrs.asdict(self)

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any], where: str) -> Form:
        """Read the values again.

        Raises:
            ArtifactError: they are of another version, or damaged.
        """
        try:
            return cls(**facts)
        except TypeError as error:
            raise errors.ArtifactError(
                f"{where} does not describe a model of this version: {error}",
                remedy="export it again",
            ) from error


def whole_frames(samples: float) -> int:
    """Return samples, rounded up to whole frames."""
    return -(-int(samples) // FRAME) * FRAME


def arrays_of(rows: Sequence[Row], form: Form, told: Told | None = None) -> Arrays:
    """Read the files of rows.

    Raises:
        InputError: a file that can't be read, with the row's line.
    """
    found = empty_arrays(len(rows), form)
    for at, row in enumerate(rows):
        try:
            _fill(found, at, row, form)
        except errors.InputError as error:
            raise errors.InputError(
                f"line {row.line}: {error.message}", remedy=error.remedy
            ) from error
        if told is not None:
            told(at + 1, len(rows))
    return found


def empty_arrays(rows: int, form: Form) -> Arrays:
    """Return the arrays of rows that miss everything."""
    found: Arrays = {}
    if "text" in form.modalities:
        found["text"] = np.zeros((rows, form.longest_text), np.int64)
    if "picture" in form.modalities:
        side = form.picture_size
        found["picture"] = np.zeros((rows, form.channels, side, side), np.uint8)
        found["picture_there"] = np.zeros(rows, np.bool_)
    if "sound" in form.modalities:
        found["sound"] = np.zeros((rows, form.longest_sound), np.float32)
        found["sound_length"] = np.zeros(rows, np.int64)
    return found


def _fill(found: Arrays, at: int, row: Row, form: Form) -> None:
    if "text" in form.modalities:
        found["text"][at] = form.alphabet.encode(row.text, form.longest_text)
    if "picture" in form.modalities and row.picture is not None:
        found["picture"][at] = read_picture(row.picture, form.picture_size, color=form.color)
        found["picture_there"][at] = True
    if "sound" in form.modalities and row.sound is not None:
        wave = read_sound(row.sound, form.rate, form.longest_sound)
        found["sound"][at, : len(wave)] = wave
        found["sound_length"][at] = len(wave)


def there(arrays: Mapping[str, npt.NDArray[Any]], modality: str) -> npt.NDArray[np.bool_]:
    """Tell which rows have a modality [N]."""
    if modality == "text":
        return np.asarray((arrays["text"] != 0).any(1))
    if modality == "picture":
        return np.asarray(arrays["picture_there"])
    return np.asarray(arrays["sound_length"] > 0)


def without(arrays: Arrays, modalities: Iterable[str]) -> Arrays:
    """Return the arrays with these modalities missing in every row; what is left is not copied."""
    gone = dict(arrays)
    for name in modalities:
        key = {"text": "text", "picture": "picture_there", "sound": "sound_length"}[name]
        gone[key] = np.zeros_like(arrays[key])
    return gone


def taken(arrays: Arrays, rows: Any) -> Arrays:
    """Return some rows."""
    return {name: values[rows] for name, values in arrays.items()}
