"""Writes fragments: all of them, read back and right, or none."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final

import attrs
import xxhash

from deepseek_core import DeepSeekError, errors
from deepseek_store import handles
from deepseek_store.codes import Code
from deepseek_store.errors import Corrupt
from deepseek_store.stripes.fragment import Buffer, TierName, pack_header, payload_lengths
from deepseek_store.stripes.fragment_io import FragmentIO
from deepseek_store.stripes.identity import FragmentFault, header_of
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import FragmentPlace, Stripe, fragment_key

_ATTEMPTS: Final = 2  # at one place; a tier has its own retries below that
_PAUSE_S: Final = 0.05
_MOST_GENERATIONS: Final = 8


@attrs.frozen(kw_only=True)
class Birth:
    """What a stripe has from its beginning."""

    id: int
    code: Code
    tier: TierName = "cold"
    created_s: float = 0.0


def write_stripe(
    io: FragmentIO,
    birth: Birth,
    segments: Sequence[tuple[int, Buffer]],
    places: Sequence[Place],
    writer: FragmentWriter,
) -> Stripe:
    """Encode sealed segments and write all fragments.

    Raises:
        InputError: no segment, too many, an empty one, or not a place for each fragment.
        StorageError: a fragment could be written nowhere; those written are deleted again.
    """
    _check_segments(birth.code, segments, places)
    payloads = _encode(io, birth.code, [memoryview(content).cast("B") for _, content in segments])
    numbers = [number for number, _ in segments]
    return writer.write(_draft(birth, numbers, places, payloads), payloads)


def _encode(io: FragmentIO, code: Code, data: Sequence[memoryview]) -> dict[int, memoryview]:
    """The payloads that are stored, by index: the segments as they are, and the parities."""
    lengths = payload_lengths(code, [len(content) for content in data])
    parities = io.codec(code).encode(data, max(lengths))
    payloads = dict(enumerate(data))
    payloads |= {code.k + row: memoryview(parity) for row, parity in enumerate(parities)}
    return {index: payloads[index][:nbytes] for index, nbytes in enumerate(lengths) if nbytes}


def _draft(
    birth: Birth,
    numbers: Sequence[int],
    places: Sequence[Place],
    payloads: Mapping[int, memoryview],
) -> Stripe:
    """The stripe as it is to be, before anything of it lies anywhere."""
    fragments = [FragmentPlace()] * birth.code.n
    for index, payload in payloads.items():
        fragments[index] = FragmentPlace(
            tier=places[index].tier,
            domain=places[index].domain,
            nbytes=len(payload),
            segment=numbers[index] if index < len(numbers) else 0,
            xxh3=xxhash.xxh3_64_intdigest(payload),
        )
    return Stripe(
        id=birth.id,
        code=birth.code,
        tier=birth.tier,
        created_s=birth.created_s,
        fragments=tuple(fragments),
    )


class FragmentWriter:
    """Writes some fragments of one stripe, each under a key that is free.

    `spares` are domains for those whose own one is full or can't be reached, the best first.
    """

    def __init__(self, io: FragmentIO, *, spares: Iterable[Place] = (), deep: bool = True) -> None:
        self._io = io
        self._deep = deep
        self._spares = list(spares)
        self._written: list[FragmentPlace] = []
        self._lock = threading.Lock()

    def write(self, stripe: Stripe, payloads: Mapping[int, Buffer]) -> Stripe:
        """The stripe with these fragments written, at `stripe.generation` or a later one.

        Memory: two fragments for each that is in flight.

        Raises:
            StorageError: one could be written nowhere; those written are deleted again.
        """

        def put(index: int) -> FragmentPlace:
            return self._put_somewhere(stripe, index, payloads[index])

        placed: dict[int, FragmentPlace] = {}
        try:
            placed.update(self._io.each(put, payloads, nbytes=2 * stripe.nbytes))
        except BaseException:
            self._io.delete(self._written)
            raise
        newest = max(place.generation for place in placed.values())
        return stripe.with_fragments(placed, max(stripe.generation, newest))

    def _put_somewhere(self, stripe: Stripe, index: int, payload: Buffer) -> FragmentPlace:
        place: Place | None = stripe.fragments[index].place
        while True:
            assert place is not None
            try:
                return self._put_at(stripe, index, place, payload)
            except (errors.StorageError, OSError):
                if (place := self._next_spare()) is None:
                    raise

    def _next_spare(self) -> Place | None:
        with self._lock:
            return self._spares.pop(0) if self._spares else None

    def _put_at(self, stripe: Stripe, index: int, place: Place, payload: Buffer) -> FragmentPlace:
        """Under the first generation whose key is free, or holds just this fragment already."""
        for generation in range(stripe.generation, stripe.generation + _MOST_GENERATIONS):
            target = attrs.evolve(
                stripe.fragments[index], tier=place.tier, domain=place.domain,
                generation=generation,
                key=fragment_key(place.domain, stripe.id, index, generation),
            )  # fmt: skip
            candidate = stripe.with_fragments({index: target}, stripe.generation)
            mine = self._put(candidate, index, payload)
            fault = self._io.inspect(candidate, index, deep=self._deep or not mine)
            if fault is None:
                return target
            # A key that someone else took is passed by, unless all are.
            if mine:
                self._io.remove(target)
            if mine or generation + 1 == stripe.generation + _MOST_GENERATIONS:
                raise self._refused(target, fault)
        raise AssertionError("unreachable")

    def _put(self, stripe: Stripe, index: int, payload: Buffer) -> bool:
        """Whether this call wrote the object; False if there was one of that key."""
        target = stripe.fragments[index]
        header, table = header_of(stripe, index, self._io.store)
        content = b"".join((pack_header(header), table, payload))
        maybe_written = False
        for attempt in range(_ATTEMPTS):
            try:
                # A write that seemed to fail may be there all the same.
                tier = self._io.tier_of(target)
                wrote = handles.patiently(partial(tier.put_if_absent, target.key, content))
            except errors.TierUnavailable:
                maybe_written = True
                if attempt + 1 == _ATTEMPTS:
                    raise
                time.sleep(_PAUSE_S)
            else:
                if wrote or maybe_written:
                    self._written.append(target)
                return wrote or maybe_written
        raise AssertionError("unreachable")

    def _refused(self, target: FragmentPlace, fault: FragmentFault) -> DeepSeekError:
        return Corrupt(
            f"{target.key} is not what was written: {fault.kind}, {fault.detail}",
            url=self._io.url_of(target),
            remedy="check that device; other domains take the fragment if there are any",
        )


def _check_segments(
    code: Code, segments: Sequence[tuple[int, Buffer]], places: Sequence[Place]
) -> None:
    if not 1 <= len(segments) <= code.k:
        raise errors.InputError(f"{len(segments)} segments for {code.name}: 1 to {code.k}")
    if len({number for number, _ in segments}) != len(segments):
        raise errors.InputError("a segment is given twice")
    if min(number for number, _ in segments) < 1:
        raise errors.InputError("segments are numbered from 1; 0 stands for none")
    if not all(memoryview(content).nbytes for _, content in segments):
        raise errors.InputError("an empty segment", remedy="stripe sealed segments only")
    if len(places) != code.n:
        raise errors.InputError(f"{len(places)} places for the {code.n} fragments of {code.name}")
