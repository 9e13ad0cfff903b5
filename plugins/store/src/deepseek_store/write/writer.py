"""Writes objects to the log: cut into shards, numbered, acknowledged when they are on disk."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import attrs

from deepseek_store.errors import GenerationMismatch, SegmentGone
from deepseek_store.home.ages import INCOMPLETE
from deepseek_store.home.state import State
from deepseek_store.home.version_records import moved_record
from deepseek_store.index.rows import Version
from deepseek_store.log import records as rec
from deepseek_store.log.journal import Journal
from deepseek_store.log.records import Buffer, Extent, Kind, Placed, Record
from deepseek_store.write.buffers import bytes_of, steady
from deepseek_store.write.in_flight import InFlight
from deepseek_store.write.index_committer import Committer
from deepseek_store.write.key_lock import KeyLock
from deepseek_store.write.receipt import Receipt, pieces_of
from deepseek_store.write.upload import Upload

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class Writer:
    """Puts, deletes and links, each one atomic; safe to use from several threads."""

    def __init__(
        self,
        state: State,
        journal: Journal,
        *,
        writer: int,
        shard_nbytes: Callable[[], int],
        clock: Callable[[], float],
        shared: bool,
        in_flight: InFlight,
        committer: Committer,
    ) -> None:
        self._state, self._journal, self._writer = state, journal, writer
        self._shard_nbytes, self._clock, self._shared = shard_nbytes, clock, shared
        self._gate = KeyLock()
        self._numbering = threading.Lock()
        self._last = 0
        self._in_flight, self._committer = in_flight, committer

    def put(
        self, key: str, data: ReadableBuffer, meta: bytes, *, expect: int | None, durable: bool
    ) -> Receipt:
        """An object whose bytes are all here."""
        data = bytes_of(data)
        if len(data) > self._shard_nbytes():
            return self.put_stream(key, (data,), meta, expect=expect, durable=durable)
        data = steady(data)
        with self._turn(key, expect):
            record = self._record(key, Kind.PUT, data, meta=meta, nbytes=len(data))
            placed = self._write([record], _expected(key, expect), durable=durable)
        return _receipt(record, [one.extent for one in placed])

    def put_stream(
        self,
        key: str,
        chunks: Iterable[ReadableBuffer],
        meta: bytes,
        *,
        expect: int | None = None,
        durable: bool = True,
    ) -> Receipt:
        """An object whose bytes come one after the other; it is there when the last one is."""
        if expect is not None:
            self._compare(key, expect)  # before the bytes are written, and again after
        with self.begin(key, meta, durable=durable) as upload:
            for chunk in chunks:
                upload.write(chunk)
            return upload.commit(expect=expect)

    def begin(
        self,
        key: str,
        meta: bytes,
        *,
        durable: bool = True,
        landed: Callable[[Receipt], Receipt] = lambda receipt: receipt,
        after: Version | None = None,
        read: Callable[[Extent], Buffer] | None = None,
        expect: int | None = None,
    ) -> Upload:
        """An object whose bytes will be handed over; see `Upload`.

        `after`: an object whose bytes come first; they stay where they are, but for short pieces at
        its end that `read` reads. `expect`: what `commit` expects if it is not told.

        Raises:
            SegmentGone: those lie elsewhere by now: look it up again.
        """
        there = () if after is None else rec.unpack_extents(after.extents)
        token = self._in_flight.begin(self._first_place(there))
        if after is not None:
            try:
                self._must_be_there(after)
            except BaseException:
                self._in_flight.end(token)
                raise

        def append(piece: Buffer, at: int) -> list[Extent]:
            record = self._record(key, Kind.SHARD, piece, offset=at)
            return [one.extent for one in self._journal.append([record], durable=False)]

        def finish(
            extents: Sequence[Extent], rest: Buffer, nbytes: int, expect: int | None
        ) -> Receipt:
            if not extents:
                return self.put(key, rest, meta, expect=expect, durable=durable)
            with self._turn(key, expect):
                manifest = self._manifest(key, extents, nbytes, meta)
                receipt = _receipt(manifest, extents)
                self._write([manifest], _expected(key, expect), durable=durable)
            return receipt

        return Upload(
            shard_nbytes=self._shard_nbytes(),
            append=append,
            finish=finish,
            release=lambda: self._in_flight.end(token),
            landed=landed,
            extents=there,
            join=None if read is None else partial(self._with_tail, read),
            expect=expect,
        )

    def delete(self, key: str, *, expect: int | None = None) -> bool:
        """Take an object away; False if there was none.

        An index that was made without a tier can't tell: it notes the delete all the same, for
        when the tier is back.
        """
        with self._turn(key, expect):
            there = self._state.catalog.get(key) is not None
            if there or self._state.index.meta().get(INCOMPLETE) is not None:
                self._write([self._record(key, Kind.DELETE, b"")], _expected(key, expect))
        return there

    @property
    def url(self) -> str:
        """Names the store in errors."""
        return self._state.index.url

    def link(
        self,
        source: Version,
        target: str,
        *,
        expect: int | None,
        remove: bool,
        superseded: bool = False,
    ) -> Receipt:
        """The bytes of an object under another key too, or instead (`remove`), in one step.

        `superseded`: the source may be an older version, which a snapshot keeps.

        Raises:
            SegmentGone: they lie elsewhere by now: look the source up again.
        """
        extents = rec.unpack_extents(source.extents)
        first = min((extent.segment for extent in extents), default=0)
        with (
            self._turn(target, expect, also=source.key if remove else None),
            self._in_flight.holding(first),
        ):
            if remove:
                self._compare(source.key, source.generation)
            self._must_be_there(source, superseded=superseded)
            manifest = self._manifest(target, extents, source.nbytes, source.meta)
            batch, expected = [manifest], _expected(target, expect)
            if remove and source.key != target:
                batch.append(self._record(source.key, Kind.DELETE, b""))
                expected[source.key] = source.generation
            self._write(batch, expected)
        return _receipt(manifest, extents)

    def append(
        self, version: Version, data: ReadableBuffer, read: Callable[[Extent], Buffer]
    ) -> Receipt:
        """Bytes behind those of an object, which stay where they are, in one step.

        Only short pieces at its end, together no longer than what is added, are read by `read` and
        rewritten with it: so many small appends leave few pieces, and copy each byte seldom.

        Raises:
            GenerationMismatch: the object is another one by now.
            SegmentGone: its bytes lie elsewhere by now: look it up again.
        """
        added = steady(bytes_of(data))
        nbytes = version.nbytes + rec.nbytes_of(added)
        extents = list(rec.unpack_extents(version.extents))
        first = self._first_place(extents)
        with self._turn(version.key, version.generation), self._in_flight.holding(first):
            self._must_be_there(version)
            added = self._with_tail(read, extents, added)
            extents += self._write_pieces(version.key, added, nbytes - rec.nbytes_of(added))
            manifest = self._manifest(version.key, extents, nbytes, version.meta)
            receipt = _receipt(manifest, extents)
            self._write([manifest], {version.key: version.generation})
        return receipt

    def _with_tail(
        self, read: Callable[[Extent], Buffer], extents: list[Extent], data: Buffer
    ) -> Buffer:
        """The bytes to write: short pieces are taken off the end of `extents`, and come first."""
        parts, nbytes = [data], rec.nbytes_of(data)
        while extents and extents[-1].nbytes <= min(nbytes, self._shard_nbytes() - nbytes):
            parts.insert(0, read(extents[-1]))
            nbytes += extents.pop().nbytes
        return data if len(parts) == 1 else b"".join(parts)

    def _write_pieces(self, key: str, data: Buffer, offset: int) -> list[Extent]:
        """Where the bytes lie that begin at `offset` of an object; durable with its manifest."""
        view, most = memoryview(data).cast("B"), self._shard_nbytes()
        extents: list[Extent] = []
        for at in range(0, len(view), most):
            piece = self._record(key, Kind.SHARD, view[at : at + most], offset=offset + at)
            extents += [one.extent for one in self._journal.append([piece], durable=False)]
        return extents

    def rewrite(self, version: Version, pieces: Sequence[Buffer]) -> list[Placed]:
        """Write a version's bytes into the log again, as the same version, moved once more."""
        placed, record = self.begin_rewrite(version, pieces)
        return placed + self.end_rewrites([record])

    def begin_rewrite(
        self, version: Version, pieces: Sequence[Buffer | Extent], *, makes_room: bool = False
    ) -> tuple[list[Placed], Record]:
        """Write the pieces of a version again; those, and the record that is to tell of them.

        A piece that is an `Extent` stays where it is. One piece alone comes with that record.
        """
        first = pieces[0] if pieces else b""
        if len(pieces) <= 1 and not isinstance(first, Extent):
            return [], moved_record(version, Kind.PUT, first)
        placed: list[Placed] = []
        extents: list[Extent] = []
        at = 0
        for piece in pieces:
            if isinstance(piece, Extent):
                extents.append(piece)
            else:
                shard = moved_record(version, Kind.SHARD, piece, offset=at)
                placed += self._journal.append([shard], durable=False, makes_room=makes_room)
                extents.append(placed[-1].extent)
            at += extents[-1].nbytes
        manifest = moved_record(version, Kind.PUT, rec.pack_extents(extents))
        return placed, attrs.evolve(manifest, manifest=True)

    def end_rewrites(self, records: Sequence[Record], *, makes_room: bool = False) -> list[Placed]:
        """Write what `begin_rewrite` gave; from now on the versions lie there."""
        return self._journal.append(records, makes_room=makes_room)

    def relink(self, version: Version) -> list[Placed]:
        """Write a version's record again, without its bytes: a tombstone, or a manifest."""
        kind = Kind.DELETE if version.deleted else Kind.PUT
        record = moved_record(version, kind, version.extents)
        return self._journal.append([attrs.evolve(record, manifest=not version.deleted)])

    def next_generation(self) -> int:
        """A number above all that were seen so far."""
        with self._numbering:
            clock, last = self._state.catalog.clock, self._last
            self._last = last = (clock if clock > last else last) + 1
            return last

    def _must_be_there(self, version: Version, *, superseded: bool = False) -> None:
        """Make sure that a version lies where it did: what is held by now is kept from here on."""
        self._state.refresh(sure=True)
        catalog = self._state.catalog
        now = catalog.find(version.id) if superseded else catalog.get(version.key)
        if now is None or now.id != version.id or now.extents != version.extents:
            raise SegmentGone(f"{version.key!r} moved")

    def _first_place(self, extents: Iterable[Extent]) -> int:
        """The lowest segment that an object with these pieces and some new ones needs."""
        return min([self._next_place(), *(extent.segment for extent in extents)])

    def _next_place(self) -> int:
        """The lowest segment that the next record may come into."""
        active = self._journal.active
        return max(list(self._state.segments), default=0) if active is None else active

    def _turn(
        self, key: str, expect: int | None, *, also: str | None = None
    ) -> AbstractContextManager[None]:
        """Our turn at a key: alone if something is compared, else among others."""
        if expect is None and also is None and not self._shared:
            return self._gate.plain(key)
        return self._turn_of(key, expect, also)

    @contextmanager
    def _turn_of(self, key: str, expect: int | None, also: str | None) -> Iterator[None]:
        keys = frozenset(name for name in (key, also) if name is not None)
        with ExitStack() as stack:
            conditional = expect is not None or also is not None
            gate: AbstractContextManager[None] = (
                self._gate.alone(keys) if conditional else self._gate.plain(key)
            )
            stack.enter_context(gate)
            if self._shared:
                stack.enter_context(self._state.index.exclusive(*keys))
                # Another machine's commit rings no bell here; and our number must be above its.
                self._state.refresh(sure=self._state.remote)
            if expect is not None:
                self._compare(key, expect)
            yield

    def _compare(self, key: str, expect: int) -> None:
        version = self._state.catalog.get(key)
        found = 0 if version is None else version.generation
        if found != expect:
            there = f"has generation {found}" if found else "does not exist"
            raise GenerationMismatch(
                f"{key!r} {there}, not {expect}" if expect else f"{key!r} exists already",
                url=self._state.index.url,
                found=found,
                remedy="read it again, and decide again",
            )

    def _write(
        self, records: Sequence[Record], expected: Mapping[str, int], *, durable: bool = True
    ) -> list[Placed]:
        """Append records; in a shared store the index compares once more."""
        self._committer.admit()
        if not expected or not self._shared:
            return self._journal.append(records, durable=durable)
        names = [(record.key, record.generation, record.writer) for record in records]
        with self._committer.expectations.hold(names, expected) as claim:
            placed = self._journal.append(records)
            if claim.refusal is not None:
                raise claim.refusal
            return placed

    def _manifest(self, key: str, extents: Sequence[Extent], nbytes: int, meta: bytes) -> Record:
        payload = rec.pack_extents(extents)
        record = self._record(key, Kind.PUT, payload, meta=meta, nbytes=nbytes)
        return attrs.evolve(record, manifest=True)

    def _record(
        self,
        key: str,
        kind: Kind,
        payload: Buffer,
        *,
        meta: bytes = b"",
        nbytes: int = 0,
        offset: int = 0,
    ) -> Record:
        return Record(
            kind=kind,
            key=key,
            generation=self.next_generation(),
            writer=self._writer,
            created_s=self._clock(),
            object_offset=offset,
            object_nbytes=nbytes,
            meta=meta,
            payload=payload,
        )


def _receipt(record: Record, extents: Sequence[Extent]) -> Receipt:
    return Receipt(
        key=record.key,
        generation=record.generation,
        nbytes=record.object_nbytes,
        shards=len(extents),
        pieces=pieces_of(record.key, extents, record.object_nbytes),
    )


def _expected(key: str, expect: int | None) -> dict[str, int]:
    return {} if expect is None else {key: expect}
