"""What `prepare` leaves: all pictures at the network's size, their masks, classes and parts.

pictures.npy   uint8 [N, h, w, C]
channels.npy   float16 [N, h, w, C + 1], what the network takes of each
masks.npy      bool  [N, h, w]
items.json     names, classes, groups, parts; how pictures were cut
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_core import errors

PICTURES: Final = "pictures.npy"
CHANNELS: Final = "channels.npy"
MASKS: Final = "masks.npy"
ITEMS: Final = "items.json"
_SCHEMA: Final = 1

Array = np.ndarray[Any, Any]


def _tuple(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Items:
    """All but the pixels: columns with an entry for each picture, and what holds for all."""

    classes: tuple[str, ...] = attrs.field(converter=_tuple)
    crop: tuple[float, ...] = attrs.field(converter=_tuple)
    split_hash: str
    names: tuple[str, ...] = attrs.field(converter=_tuple)
    labels: tuple[int, ...] = attrs.field(converter=_tuple)
    groups: tuple[str, ...] = attrs.field(converter=_tuple)
    parts: tuple[str, ...] = attrs.field(converter=_tuple)
    has_mask: tuple[bool, ...] = attrs.field(converter=_tuple)


class Kept:
    """The prepared data of a job, its pixels mapped from the disk and not read before they count.

    Raises:
        InputError: there are none, or files that do not belong together.
    """

    def __init__(self, folder: Path) -> None:
        self.items = _read_items(folder)
        self.pictures: Array = _mapped(folder / PICTURES)  # uint8 [N, h, w, C]
        self.channels: Array = _mapped(folder / CHANNELS)  # float16 [N, h, w, C + 1]
        self.masks: Array = _mapped(folder / MASKS)  # bool [N, h, w]
        self.classes = self.items.classes
        self.classes_of = np.asarray(self.items.labels, np.int64)
        self.has_mask = np.asarray(self.items.has_mask, bool)
        self._parts = np.asarray(self.items.parts)
        count = len(self.items.names)
        shapes = {self.pictures.shape[:3], self.channels.shape[:3], self.masks.shape}
        if len(shapes) != 1 or len(self.masks) != count:
            raise _damaged(folder, f"{PICTURES}, {CHANNELS}, {MASKS} and {ITEMS} do not fit")

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the network's picture, px."""
        return self.pictures.shape[1], self.pictures.shape[2]

    @property
    def colors(self) -> int:
        """1 or 3."""
        return int(self.pictures.shape[3])

    def rows(self, part: str) -> Array:
        """The rows of a part."""
        return np.flatnonzero(self._parts == part)

    def groups_of(self, rows: Array) -> Array:
        """The part that each picture shows, by number."""
        return np.unique(np.asarray(self.items.groups)[rows], return_inverse=True)[1]


def write_items(folder: Path, items: Items) -> None:
    """Write what `Kept` reads beside the pixels."""
    text = json.dumps({"schema": _SCHEMA, **attrs.asdict(items)}, indent=1)
    (folder / ITEMS).write_text(text + "\n", encoding="utf-8")


def _read_items(folder: Path) -> Items:
    path = folder / ITEMS
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise errors.InputError(
            f"{folder} holds no prepared data", remedy="ds-sdk app defects prepare"
        ) from error
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{ITEMS} can't be read: {error}") from error
    if not isinstance(table, Mapping) or table.get("schema") != _SCHEMA:
        raise _damaged(folder, f"{ITEMS} is of another version")
    try:
        items = Items(**{key: value for key, value in table.items() if key != "schema"})
    except TypeError as error:
        raise _damaged(folder, f"{ITEMS}: {error}") from error
    columns: Sequence[Sequence[Any]] = (items.labels, items.groups, items.parts, items.has_mask)
    if any(len(column) != len(items.names) for column in columns):
        raise _damaged(folder, f"{ITEMS} has columns of several lengths")
    return items


def _mapped(path: Path) -> Array:
    try:
        found: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(path.parent, f"{path.name} can't be read: {error}") from error
    return found


def _damaged(folder: Path, why: str) -> errors.InputError:
    return errors.InputError(f"{folder}: {why}", remedy="prepare the data again")
