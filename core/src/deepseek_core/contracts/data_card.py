"""Data of an application: whose they are, and how they were split."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.kept import plain, reading, table_of
from deepseek_core.contracts.units import as_names

_HASH: Final = frozenset("0123456789abcdef")
_HASH_DIGITS: Final = 64


@attrs.frozen(kw_only=True)
class DataCard:
    """What data a job uses: whose they are, and how they were split.

    `parts` counts the items of "train", "validation" and "test"; `split` says in one sentence how
    they were told apart, and `split_hash` is a SHA-256 over the sorted ids of each. `warnings`
    are leaks and the like, `notes` the rest.
    """

    source: str
    license: str
    parts: Mapping[str, int]
    split: str
    split_hash: str
    warnings: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    notes: tuple[str, ...] = attrs.field(default=(), converter=as_names)

    def __attrs_post_init__(self) -> None:
        if not {"train", "test"} <= set(self.parts) or min(self.parts.values()) < 1:
            raise InputError(
                f"the parts of the data are {dict(self.parts)}",
                remedy="split them so that train and test have one item or more each",
            )
        if len(self.split_hash) != _HASH_DIGITS or not _HASH.issuperset(self.split_hash):
            raise InputError(
                f"split_hash is {self.split_hash!r}", remedy="give a SHA-256 as 64 hex digits"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, as a file holds them."""
        return plain(self)

    @classmethod
    def from_json(cls, kept: object) -> DataCard:
        """What `to_json` gave.

        Raises:
            ArtifactError: it lacks a part, has one too many, or one that does not fit.
        """
        with reading("a data card"):
            return cls(**table_of(kept, cls))
