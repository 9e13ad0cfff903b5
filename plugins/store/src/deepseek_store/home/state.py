"""What a store knows while it is open: the index in memory, and its changes.

Reads ask memory only. A change goes to the index first, then to memory, then others are told.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal

import attrs

from deepseek_core import errors
from deepseek_store.home.numbers import Marks, Numbers
from deepseek_store.home.tallied import Tallied
from deepseek_store.index.base import Index
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.epoch import Epoch
from deepseek_store.index.rows import Batch, Changes, SegmentRow, StripeRow, Version
from deepseek_store.log.reserve import Reserve
from deepseek_store.stripes.stripe import Stripe

_LOG: Final = logging.getLogger(__name__)
# Removals that others are told one by one: who lags behind further loads the index again, which
# costs no more where there are as many objects.
_LEAST_NOTES: Final = 1000
_TRIM_EVERY: Final = 4096
# How old what we know of other machines' commits may be; on one machine the epoch tells at once.
_STALE_S: Final = 0.05


class State:
    """The catalog, the segments, the stripes and the pins of one open store.

    `epoch` is shared with other processes on this machine; without one (an exclusive store)
    nobody else changes anything. `remote`: other machines may. `numbers` notes what must not be
    forgotten even if the index is; `gate` is passed before each new number. `others`: whether
    another process of this machine has the store open. `reserve` is what the index may take of a
    full disk.
    """

    def __init__(
        self,
        index: Index,
        epoch: Epoch | None,
        *,
        remote: bool = False,
        numbers: Numbers | None = None,
        gate: Callable[[], None] | None = None,
        others: Callable[[], bool] = lambda: True,
        reserve: Reserve | None = None,
    ) -> None:
        self.index = index
        self.reserve = reserve
        if reserve is not None:
            index.make_room = reserve.release
        self._numbers, self._gate = numbers, gate
        self._others = others
        self._removed = 0  # versions removed since memory was last trimmed
        self.catalog = Catalog()
        self.segments = Tallied(_of_segment)  # by id
        self.stripes = Tallied(_of_stripe)  # by id; those that are read
        # by id: stripes that were replaced, and when; freed after the grace period
        self.given_up: dict[int, tuple[Stripe, float]] = {}
        self.pins: dict[str, str] = {}  # key -> tier
        self.shown: dict[str, Version] = {}
        """The newest of each key that readers here see and that is not on disk yet."""
        self._epoch, self._remote = epoch, remote
        self._seen = -1  # the epoch up to which changes of other processes were taken in
        self._looked_s = -float("inf")  # when the database was last asked for changes (monotonic)
        self._seq = 0  # the number of the last change that was taken in
        self._catching_up = threading.Lock()

    @property
    def remote(self) -> bool:
        """Whether other machines may change the index, too."""
        return self._remote

    def has_others(self) -> bool:
        """Whether another process of this machine writes to the store."""
        return self._others()

    def local_nbytes(self) -> int:
        """Length of all segments in the home's log."""
        return self.segments.nbytes().get("hot", 0)

    def stored_nbytes(self) -> dict[str, int]:
        """Bytes that each tier takes: files, headers, parities and all."""
        stored = {"hot": self.local_nbytes(), "warm": 0, "cold": 0}
        for tier, nbytes in self.stripes.nbytes().items():
            stored[tier] += nbytes
        return stored

    def load(self) -> None:
        """Read all of the index."""
        if self._epoch is not None:
            self._seen = self._epoch.value
        # Segments first: an extent never names one that is not known.
        seq = self.index.attach(self.catalog, alone=self._epoch is None)
        for version in list(self.shown.values()):
            self.catalog.apply(version)
        segments = Tallied(_of_segment)
        for segment in self.index.segments():
            segments[segment.id] = segment
        self.segments, self.stripes, self.given_up = segments, Tallied(_of_stripe), {}
        for row in self.index.stripes():
            self._take_stripe(row)
        self.pins = dict(self.index.pins())
        self._seq = seq

    def refresh(self, *, sure: bool = False) -> None:
        """Catch up with other processes, if they changed anything; 100 ns if not.

        `sure`: ask the index itself, for one that died may have told nobody of its last commit.
        """
        epoch = self._epoch
        if epoch is None or (epoch.value == self._seen and not sure and not self._is_stale()):
            return
        with self._catching_up:
            value = epoch.value
            self._looked_s = time.monotonic()
            if value == self._seen and not sure and not self._remote:
                return
            self._take(self.index.changes_since(self._seq))
            self._seen = value

    def commit(self, batch: Batch) -> None:
        """Change the index, then memory, then tell others.

        Raises:
            GenerationMismatch: not what the batch expects; nothing is changed.
            IndexUnavailable: the database does not answer.
            ReadOnlyStore: it is open for reading only; what is read how often is passed over.
        """
        if self.index.read_only and _is_of_readers(batch):
            return
        seq = self.index.commit(batch, self.catalog, noted=self._epoch is not None)
        self._apply_rows(batch.segments, batch.drop_segments, batch.stripes, batch.drop_stripes)
        self._apply_pins(batch.pins)
        if self._epoch is not None:
            # Our own number does not stand for what others committed before it: so catch up later.
            self._epoch.bump(seq)
            self._trim_now_and_then(len(batch.forget))
        else:
            self._seq = seq
        if batch.durable:
            self.note_seq(seq)

    def note_seq(self, seq: int) -> None:
        """Note a durable commit: an index that has not come so far is an older one."""
        if self._numbers is not None:
            self._numbers.raise_to(Marks(seq=seq, generation=self.catalog.clock))

    def allocate(self, name: Literal["segment", "stripe"]) -> int:
        """A number that no segment (or no stripe) of this store ever had.

        Raises:
            IndexUnavailable: the database does not answer.
            NotOwner: another home has this store by now.
            ReadOnlyStore: it is open for reading only.
        """
        if self._gate is not None:
            self._gate()
        number = self.index.allocate(name)
        if self._numbers is not None:
            clock = self.catalog.clock
            self._numbers.raise_to(attrs.evolve(Marks(generation=clock), **{name: number}))
        return number

    def trim(self) -> None:
        """Let the index forget removals that nobody needs to be told any more.

        Where others have the store open, as many are kept as there are objects.
        """
        followed = self._epoch is not None and (self._remote or self._others())
        seen = 0 if followed else self.index.poll()
        self.index.trim(seen, most=max(_LEAST_NOTES, len(self.catalog)))

    def _trim_now_and_then(self, removed: int) -> None:
        self._removed += removed
        if self._removed >= max(_TRIM_EVERY, len(self.catalog)):
            self._removed = 0
            try:
                self.index.trim(0, most=max(_LEAST_NOTES, len(self.catalog)))
            except errors.StorageError as error:
                _LOG.warning("old removals stay in the index: %s", error)

    def close(self) -> None:
        """Let go of the index."""
        self.index.close()
        if self._epoch is not None:
            self._epoch.close()

    def _is_stale(self) -> bool:
        return self._remote and time.monotonic() - self._looked_s > _STALE_S

    def _take(self, changes: Changes) -> None:
        if changes.reload:
            self.load()
            return
        self._apply_rows(
            changes.segments, changes.dropped_segments, changes.stripes, changes.dropped_stripes
        )
        self.catalog.catch_up(changes)
        self._apply_pins(changes.pins)
        self._seq = changes.seq

    def _apply_rows(
        self,
        segments: Iterable[SegmentRow],
        dropped_segments: Iterable[int],
        stripes: Iterable[StripeRow],
        dropped_stripes: Iterable[int],
    ) -> None:
        for row in stripes:
            self._take_stripe(row)
        for segment in segments:
            self.segments[segment.id] = segment
        for number in dropped_segments:
            self.segments.remove(number)
        for number in dropped_stripes:
            self.stripes.remove(number)
            self.given_up.pop(number, None)

    def _take_stripe(self, row: StripeRow) -> None:
        stripe = Stripe.from_bytes(row.places)
        if row.deleted_s is None:
            self.stripes[row.id] = stripe
        else:
            self.stripes.remove(row.id)
            self.given_up[row.id] = (stripe, row.deleted_s)

    def _apply_pins(self, pins: Mapping[str, str | None]) -> None:
        for key, tier in pins.items():
            if tier is None:
                self.pins.pop(key, None)
            else:
                self.pins[key] = tier


def _of_segment(row: SegmentRow) -> tuple[str, int] | None:
    return ("hot", row.nbytes) if row.local else None


def _of_stripe(stripe: Stripe) -> tuple[str, int]:
    return stripe.tier, stripe.object_nbytes


def _is_of_readers(batch: Batch) -> bool:
    """Whether it only tells of what was read: heat, and counts."""
    return batch == Batch(heat=batch.heat, meta=batch.meta)


def stripe_row(stripe: Stripe, *, deleted_s: float | None = None) -> StripeRow:
    """The row that the index keeps of a stripe."""
    return StripeRow(
        id=stripe.id,
        tier=stripe.tier,
        generation=stripe.generation,
        code=stripe.code.name,
        created_s=stripe.created_s,
        deleted_s=deleted_s,
        places=stripe.to_bytes(),
    )
