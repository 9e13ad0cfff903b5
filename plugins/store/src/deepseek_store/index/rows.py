"""The nouns of an index: versions of keys, segments, stripes, and what a transaction changes.

Whole numbers fit a signed 64-bit column: identities stay below 2**63.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import attrs

from deepseek_core import errors

LARGEST: Final = (1 << 63) - 1

VersionId = tuple[str, int, int]
"""Key, generation, writer: names one version of one key."""

State = Literal["active", "sealed", "gone"]


class RecordAt(NamedTuple):
    """Where the record of a version begins in the log."""

    segment: int
    offset: int


@attrs.frozen(kw_only=True, slots=True)
class Version:
    """One version of a key; of two, the one with the higher (generation, writer) is current.

    `extents` is the packed list of places of its bytes, left packed until it is read.
    `move` counts how often the bytes went elsewhere. `segment` and `offset` tell where its PUT or
    DELETE record lies.
    """

    key: str
    generation: int
    writer: int
    move: int = 0
    nbytes: int = 0
    created_s: float = 0.0
    deleted: bool = False
    meta: bytes = b""
    extents: bytes = b""
    segment: int = 0
    offset: int = 0

    def __attrs_post_init__(self) -> None:
        # One function, not a validator a field: 100,000 of them are made when a store opens.
        if not (
            0 < self.generation <= LARGEST
            and 0 <= self.writer <= LARGEST
            and 0 <= self.move <= LARGEST
            and 0 <= self.nbytes <= LARGEST
            and 0 <= self.segment <= LARGEST
            and 0 <= self.offset <= LARGEST
            and math.isfinite(self.created_s)
        ):
            raise errors.InputError(f"version of {self.key!r}: a number is out of range")
        if not self.key or "\0" in self.key or not (self.key.isascii() or _is_text(self.key)):
            raise errors.InputError(
                f"{self.key!r} is not a key", remedy="use text that UTF-8 can hold, without NUL"
            )

    @property
    def id(self) -> VersionId:
        """Key, generation and writer."""
        return self.key, self.generation, self.writer

    @property
    def order(self) -> tuple[int, int]:
        """What decides between two versions of a key: the higher is current."""
        return self.generation, self.writer

    @property
    def record(self) -> RecordAt:
        """Where its PUT or DELETE record begins."""
        return RecordAt(self.segment, self.offset)


@attrs.frozen(kw_only=True, slots=True)
class SegmentRow:
    """A segment of the log: its state, and where its bytes are.

    `local`: its file is in the home. `stripe` and `fragment`: the stripe that it is a data fragment
    of. `applied` is the offset up to which the index knows its records; it never goes back.
    """

    id: int = attrs.field(validator=[attrs.validators.ge(0), attrs.validators.le(LARGEST)])
    writer: int = attrs.field(validator=[attrs.validators.ge(0), attrs.validators.le(LARGEST)])
    state: State = attrs.field(validator=attrs.validators.in_(("active", "sealed", "gone")))
    nbytes: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    min_generation: int = attrs.field(default=0, validator=attrs.validators.ge(0))
    created_s: float = 0.0
    local: bool = True
    stripe: int | None = None
    fragment: int | None = None
    applied: int = attrs.field(default=0, validator=attrs.validators.ge(0))

    def __attrs_post_init__(self) -> None:
        if (self.stripe is None) != (self.fragment is None):
            raise errors.InputError(f"segment {self.id:#x}: a stripe goes with a fragment index")


@attrs.frozen(kw_only=True, slots=True)
class StripeRow:
    """A stripe: its code as text, and its fragments' places packed in `places`.

    `deleted_s` is when it was given up (its fragments are deleted after a grace period).
    """

    id: int = attrs.field(validator=[attrs.validators.ge(0), attrs.validators.le(LARGEST)])
    tier: str
    generation: int = attrs.field(validator=attrs.validators.ge(0))
    code: str
    created_s: float = 0.0
    deleted_s: float | None = None
    places: bytes = b""


@attrs.frozen(kw_only=True, slots=True)
class HeatRow:
    """How often an object is read, per second, as it was at `at_s`."""

    key: str
    rate_per_s: float
    at_s: float

    def __attrs_post_init__(self) -> None:
        # One function, not a validator a field: as many are made as there are objects.
        if not (0.0 <= self.rate_per_s < math.inf and math.isfinite(self.at_s)):
            raise errors.InputError(f"heat of {self.key!r}: a number is out of range")


@attrs.frozen(kw_only=True, slots=True)
class SnapshotRow:
    """A name for all versions that were current at one moment; `seq` is that moment.

    `clock`: the highest generation then; known only to who takes it.
    """

    name: str
    created_s: float
    seq: int
    count: int = 0
    clock: int = attrs.field(default=0, eq=False)


FEW_VERSIONS: Final = 64
"""So few take so little space in a transaction that fewer gain nothing."""


@attrs.frozen(kw_only=True, slots=True)
class Batch:
    """What one transaction changes, whole or not at all.

    `versions` are written where they are new, or of a higher move. `moved` only where that version
    is still there: a version that was forgotten meanwhile does not come back. `forget` never takes
    a version that a snapshot has. `applied` maps a segment to an offset. None takes a pin or a meta
    entry away. `expect` maps a key to the generation that it must have (0: there is no object).
    `durable`: on disk when `commit` returns, even if the power fails at once. `divisible`: where
    the disk is full, it comes in parts again; what is kept back for the index is for those.
    """

    versions: Sequence[Version] = ()
    moved: Sequence[Version] = ()
    forget: Sequence[VersionId] = ()
    segments: Sequence[SegmentRow] = ()
    applied: Mapping[int, int] = attrs.field(factory=dict)
    drop_segments: Sequence[int] = ()
    stripes: Sequence[StripeRow] = ()
    drop_stripes: Sequence[int] = ()
    pins: Mapping[str, str | None] = attrs.field(factory=dict)
    heat: Sequence[HeatRow] = ()
    meta: Mapping[str, str | None] = attrs.field(factory=dict)
    expect: Mapping[str, int] = attrs.field(factory=dict)
    durable: bool = False
    divisible: bool = False


@attrs.frozen(kw_only=True, slots=True)
class Changes:
    """What others (and we) committed after a sequence number, up to `seq`.

    `reload`: so much was trimmed since that only `Index.load` tells all.
    A None among the pins is one that was taken away.
    """

    seq: int
    clock: int = 0
    reload: bool = False
    versions: Sequence[Version] = ()
    forgotten: Sequence[VersionId] = ()
    segments: Sequence[SegmentRow] = ()
    dropped_segments: Sequence[int] = ()
    stripes: Sequence[StripeRow] = ()
    dropped_stripes: Sequence[int] = ()
    pins: Mapping[str, str | None] = attrs.field(factory=dict)


def _is_text(key: str) -> bool:
    try:
        key.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
