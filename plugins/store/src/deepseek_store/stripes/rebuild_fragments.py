"""Rebuilds lost fragments and writes them elsewhere; the old ones stay until the index switched.

Whatever it reads is verified as a whole, so that no fault is coded into a new fragment. A crash
leaves fragments of a later generation that nobody knows; the next repair takes them if they are
right, or writes past them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import attrs
import xxhash

from deepseek_core import errors
from deepseek_store.codes import DecodePlan
from deepseek_store.errors import Corrupt, Unrecoverable
from deepseek_store.stripes.fragment import HEADER_NBYTES, parse_header
from deepseek_store.stripes.fragment_io import TIER_FAULTS, FragmentIO, Throttle
from deepseek_store.stripes.identity import FragmentFault, fault_of, judge
from deepseek_store.stripes.layout import Place, replacements
from deepseek_store.stripes.outage import Failed, plan_around
from deepseek_store.stripes.stripe import FragmentPlace, Stripe
from deepseek_store.stripes.write import FragmentWriter


@attrs.frozen(kw_only=True)
class Rebuilt:
    """Payloads by index, and all that turned out to be lost."""

    payloads: dict[int, bytearray]
    lost: frozenset[int]


def repair_stripe(
    io: FragmentIO,
    stripe: Stripe,
    faults: Iterable[FragmentFault],
    places: Sequence[Place] | None,
    throttle: Throttle,
) -> Stripe:
    """The stripe with the faulty fragments rewritten.

    Raises:
        TierUnavailable: it can't be done until what is away is back; nothing is written.
        Unrecoverable: more is lost than the code can bear; nothing is written or deleted.
        StorageError: a fragment could be written nowhere; nothing is left behind.
    """
    faults = tuple(faults)
    lost: Failed = {index: _known_lost(index) for index in stripe.lost}
    lost |= {fault.index: fault for fault in faults if fault.index not in stripe.virtual}
    if not lost:
        return stripe
    _check_known(io, stripe, lost)
    rebuilt = _rebuild(io, stripe, lost, throttle)
    away = {stripe.fragments[each.index].place for each in faults if each.kind == "unreachable"}
    known = places or io.places(each.tier for each in stripe.fragments if each.key)
    fit = [each for each in known if each not in away] or list(known)
    if not fit:
        raise errors.TierUnavailable(
            f"no tier of stripe {stripe.id:x} is open",
            url="",
            remedy="open one, or give other places",
        )
    moved, spares = _move(stripe, rebuilt, fit)
    return FragmentWriter(io, spares=spares).write(moved, rebuilt.payloads)


def _known_lost(index: int) -> FragmentFault:
    return FragmentFault(index=index, kind="missing", detail="it is known to be lost")


def _check_known(io: FragmentIO, stripe: Stripe, lost: Collection[int]) -> None:
    """A segment of unknown name and length, found without a table, is not to be written."""
    unknown = [i for i in sorted(lost) if i < stripe.code.k and not stripe.fragments[i].segment]
    if unknown:
        raise Unrecoverable(
            f"stripe {stripe.id:x} lost its segments {unknown}, and every table that names them",
            url=io.url_of(stripe.fragments[unknown[0]]),
            lost=sorted(lost),
            remedy="bring a domain with a parity of it back, and discover the stripe again",
        )


def _rebuild(io: FragmentIO, stripe: Stripe, lost: Failed, throttle: Throttle) -> Rebuilt:
    gone = dict(lost)
    while True:
        plan = plan_around(io, stripe, gone, gone)
        reading = _Reading(io, stripe, plan, throttle)
        payloads = reading.run()
        if not reading.bad:
            _check(io, stripe, payloads)
            return Rebuilt(payloads=payloads, lost=frozenset(gone))
        gone.update(reading.bad)


class _Reading:
    """One pass over the fragments that a plan reads, column by column.

    Memory: a column of each fragment that is read, and the wanted ones as a whole.
    """

    def __init__(
        self, io: FragmentIO, stripe: Stripe, plan: DecodePlan, throttle: Throttle
    ) -> None:
        self._io = io
        self._stripe = stripe
        self._plan = plan
        self._throttle = throttle
        # The parity of a group without segments is zeros, and lies nowhere.
        self._reads = [index for index in plan.reads if stripe.fragments[index].nbytes]
        self._hashes = {index: xxhash.xxh3_64() for index in self._reads}
        self._said: dict[int, int] = {}
        self.bad: Failed = {}

    def run(self) -> dict[int, bytearray]:
        """The wanted payloads; worth nothing if `bad` names a fragment."""
        lengths = {index: self._stripe.fragments[index].nbytes for index in self._plan.wanted}
        made = {index: bytearray(nbytes) for index, nbytes in lengths.items()}
        total = max((self._stripe.fragments[i].nbytes for i in self._reads), default=0)
        column = self._io.column_nbytes(len(self._reads))
        for start in range(0, total, column):
            nbytes = min(column, total - start)
            self._column(start, nbytes, made)
            if self.bad:
                return made
        self.bad = {
            index: FragmentFault(index=index, kind="corrupt-payload", detail="its hash differs")
            for index, state in self._hashes.items()
            if state.intdigest() != self._said[index]
        }
        return made

    def _column(self, start: int, nbytes: int, made: Mapping[int, bytearray]) -> None:
        def read(index: int) -> memoryview | FragmentFault:
            try:
                return self._read(index, start, nbytes)
            except TIER_FAULTS as error:
                return fault_of(index, error)

        parts: dict[int, memoryview | None] = dict.fromkeys(self._plan.reads)
        for index, got in self._io.each(read, self._reads, nbytes=nbytes):
            if isinstance(got, FragmentFault):
                self.bad[index] = got
            else:
                parts[index] = got
        if self.bad:
            return
        codec = self._io.codec(self._stripe.code)
        for index, part in codec.rebuild(self._plan, parts, nbytes).items():
            left = max(0, len(made[index]) - start)
            made[index][start : start + nbytes] = memoryview(part)[:left]

    def _read(self, index: int, start: int, nbytes: int) -> memoryview | FragmentFault:
        """A column of one fragment; its fault if the fragment is not what it should be."""
        self._throttle(nbytes)
        if start:
            data = memoryview(self._io.read_range(self._stripe, index, start, nbytes))
        else:
            head = self._read_head(index, nbytes)
            if isinstance(head, FragmentFault):
                return head
            data = head
        self._hashes[index].update(data)
        return data

    def _read_head(self, index: int, nbytes: int) -> memoryview | FragmentFault:
        """Header, table and first column in one read."""
        place = self._stripe.fragments[index]
        if not place.key:
            return _known_lost(index)
        start = self._stripe.payload_start(index)
        wanted = start + min(nbytes, place.nbytes)
        data = self._io.tier_of(place).get(place.key, 0, wanted)
        # The length beyond this column shows when the next ones are read.
        whole = start + place.nbytes if len(data) == wanted else len(data)
        fault = judge(self._stripe, index, self._io.store, data[:start], whole)
        if fault is not None:
            return fault
        self._said[index] = parse_header(data[:HEADER_NBYTES]).xxh3
        return memoryview(data)[start:]


def _check(io: FragmentIO, stripe: Stripe, payloads: Mapping[int, bytearray]) -> None:
    """A fragment that is rebuilt from right ones is the one that was written."""
    for index, payload in payloads.items():
        right = stripe.fragments[index].xxh3
        if right is not None and xxhash.xxh3_64_intdigest(payload) != right:
            raise Corrupt(
                f"fragment {index} of stripe {stripe.id:x} is rebuilt with another hash than "
                "it was written with",
                url=io.url_of(stripe.fragments[index]),
                remedy="run `ds-sdk store fsck HOME`: the index may be of another store",
            )


def _move(
    stripe: Stripe, rebuilt: Rebuilt, candidates: Sequence[Place]
) -> tuple[Stripe, list[Place]]:
    """The stripe with a domain for each lost fragment, and free domains beside those."""
    old = {stripe.fragments[index].place for index in rebuilt.lost}
    # A domain that lost a fragment may be the next to fail: others first.
    ranked = sorted(dict.fromkeys(candidates), key=lambda place: place in old)
    taken = {
        index: each.place
        for index, each in enumerate(stripe.fragments)
        if each.key and index not in rebuilt.lost
    }
    changed: dict[int, FragmentPlace] = {}
    for index in sorted(rebuilt.lost):
        taken[index] = replacements(stripe.code, index, taken, ranked)[0]
        changed[index] = attrs.evolve(
            stripe.fragments[index], tier=taken[index].tier, domain=taken[index].domain, key="",
            xxh3=xxhash.xxh3_64_intdigest(rebuilt.payloads[index]),
        )  # fmt: skip
    newest = max(stripe.generation, *(each.generation for each in stripe.fragments))
    used = set(taken.values())
    spares = [place for place in ranked if place not in used]
    return stripe.with_fragments(changed, newest + 1), spares
