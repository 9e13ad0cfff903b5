"""Finds all stripes of a store from listings and fragment headers alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal

import attrs

from deepseek_core import errors
from deepseek_store.stripes.fragment import (
    HEADER_NBYTES,
    BadFragment,
    FragmentHeader,
    TableRow,
    parse_header,
    parse_table,
    payload_lengths,
)
from deepseek_store.stripes.fragment_io import TIER_FAULTS, FragmentIO, Throttle
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import FragmentPlace, Stripe, folder_of, parse_key

StrayKind = Literal["foreign", "corrupt", "swapped", "truncated", "superseded", "unreadable"]


@attrs.frozen(kw_only=True)
class Stray:
    """An object among the fragments that no stripe counts.

    foreign: not of this store; never delete it. superseded: a later generation, or another
    copy, is there. corrupt, swapped, truncated: a fault, which repair of the stripe makes good.
    """

    place: Place
    key: str
    nbytes: int
    modified_s: float
    kind: StrayKind
    detail: str = ""


@attrs.frozen(kw_only=True)
class Discovery:
    """What lies on the tiers; `unreachable` domains may hold more."""

    stripes: tuple[Stripe, ...]
    strays: tuple[Stray, ...]
    unreachable: tuple[Place, ...]


@attrs.frozen(kw_only=True)
class _Found:
    place: Place
    key: str
    nbytes: int
    modified_s: float
    header: FragmentHeader | None = None

    def stray(self, kind: StrayKind, detail: str = "") -> Stray:
        return Stray(
            place=self.place, key=self.key, nbytes=self.nbytes, modified_s=self.modified_s,
            kind=kind, detail=detail,
        )  # fmt: skip


def discover_stripes(io: FragmentIO, places: Sequence[Place], throttle: Throttle) -> Discovery:
    """All stripes of which a fragment lies in one of these domains.

    The newest generation of each index counts. A lost segment's name, length and hash come
    from the table of any parity.
    """
    found, unreachable = _list_all(io, places)
    strays: list[Stray] = []
    by_stripe: dict[int, list[_Found]] = defaultdict(list)
    for _, outcome in io.each(lambda each: _look(io, each, throttle), found, nbytes=0):
        if isinstance(outcome, Stray):
            strays.append(outcome)
        elif outcome is not None and outcome.header is not None:
            by_stripe[outcome.header.stripe].append(outcome)
    stripes = []
    for _, fragments in sorted(by_stripe.items()):
        chosen, rest = _choose(fragments)
        strays += [each.stray("superseded") for each in rest]
        stripes.append(_assemble(chosen, _find_rows(io, chosen)))
    return Discovery(
        stripes=tuple(stripes),
        strays=tuple(sorted(strays, key=lambda stray: (stray.place.tier, stray.key))),
        unreachable=tuple(unreachable),
    )


def _list_all(io: FragmentIO, places: Sequence[Place]) -> tuple[list[_Found], list[Place]]:
    def list_one(place: Place) -> list[_Found] | None:
        try:
            return [
                _Found(place=place, key=stat.key, nbytes=stat.nbytes, modified_s=stat.modified_s)
                for stat in io.tier_of(_at(place)).list(folder_of(place.domain))
            ]
        except TIER_FAULTS:
            return None

    listed = dict(io.each(list_one, places, nbytes=0))
    found = [each for place in places for each in listed[place] or ()]
    return found, [place for place in places if listed[place] is None]


def _at(place: Place) -> FragmentPlace:
    return FragmentPlace(tier=place.tier, domain=place.domain)


def _look(io: FragmentIO, found: _Found, throttle: Throttle) -> _Found | Stray | None:
    """The object with its header, or why it is none of ours; None if it is gone by now."""
    if parse_key(found.place.domain, found.key) is None:
        return found.stray("foreign", "its key is not a fragment's")
    throttle(HEADER_NBYTES)
    try:
        header = parse_header(io.tier_of(_at(found.place)).get(found.key, 0, HEADER_NBYTES))
    except errors.ObjectMissing:
        return None
    except BadFragment as bad:
        return found.stray("corrupt", str(bad))
    except TIER_FAULTS as error:
        return found.stray("unreadable", str(error))
    return _judge(io.store, found, header)


def _judge(store: bytes, found: _Found, header: FragmentHeader) -> _Found | Stray:
    if header.store != store:
        return found.stray("foreign", f"it is of store {header.store.hex()}")
    named = parse_key(found.place.domain, found.key)
    if (header.stripe, header.index, header.generation) != named:
        return found.stray("swapped", f"it is fragment {header.index} of {header.stripe:x}")
    if found.nbytes != header.object_nbytes:
        return found.stray("truncated", f"{found.nbytes} bytes of {header.object_nbytes}")
    return attrs.evolve(found, header=header)


def _choose(fragments: Iterable[_Found]) -> tuple[dict[int, _Found], list[_Found]]:
    """The newest fragment of each index, all of one birth, and what is left over."""
    births: dict[object, list[_Found]] = defaultdict(list)
    for each in fragments:
        births[_birth(each)].append(each)
    # An id that was used twice, after a crash: the more complete one, then the later one.
    ranked = sorted(births.values(), key=_rank)
    rest = [each for others in ranked[:-1] for each in others]
    chosen: dict[int, _Found] = {}
    for each in sorted(ranked[-1], key=_age):
        header = each.header
        assert header is not None
        if header.index in chosen:
            rest.append(chosen[header.index])
        chosen[header.index] = each
    return chosen, rest


def _birth(found: _Found) -> object:
    header = found.header
    assert header is not None
    return header.code, header.width, header.stripe_nbytes, header.created_s, header.tier


def _rank(fragments: Sequence[_Found]) -> tuple[int, float]:
    headers = [each.header for each in fragments if each.header is not None]
    return len({header.index for header in headers}), headers[0].created_s


def _age(found: _Found) -> tuple[int, int, str]:
    assert found.header is not None
    return found.header.generation, found.place.tier, found.key


def _find_rows(io: FragmentIO, chosen: dict[int, _Found]) -> tuple[TableRow, ...] | None:
    """The table of segments, read only if a data fragment can't speak for itself."""
    header = _any_header(chosen)
    if all(index in chosen for index in range(header.width)):
        return None
    for index in sorted(index for index in chosen if index >= header.code.k):
        found = chosen[index]
        assert found.header is not None
        try:
            data = io.tier_of(_at(found.place)).get(
                found.key, HEADER_NBYTES, found.header.table_nbytes
            )
            return parse_table(found.header, data)
        except (BadFragment, *TIER_FAULTS):
            continue
    return None


def _any_header(chosen: dict[int, _Found]) -> FragmentHeader:
    header = next(iter(chosen.values())).header
    assert header is not None
    return header


def _assemble(chosen: dict[int, _Found], rows: tuple[TableRow, ...] | None) -> Stripe:
    header = _any_header(chosen)
    data = [_place(chosen.get(index), rows[index] if rows else None, header.stripe_nbytes)
            for index in range(header.width)]  # fmt: skip
    lengths = payload_lengths(header.code, [each.nbytes for each in data])
    data += [FragmentPlace()] * (header.code.k - header.width)
    parities = [
        _place(chosen.get(index), None, lengths[index]) if lengths[index] else FragmentPlace()
        for index in range(header.code.k, header.code.n)
    ]
    return Stripe(
        id=header.stripe,
        generation=max(each.header.generation for each in chosen.values() if each.header),
        tier=header.tier, code=header.code, created_s=header.created_s,
        fragments=(*data, *parities),
    )  # fmt: skip


def _place(found: _Found | None, row: TableRow | None, nbytes: int) -> FragmentPlace:
    """Where a fragment lies; of a lost one what its row says, or its length at least."""
    if found is not None and found.header is not None:
        header = found.header
        return FragmentPlace(
            tier=found.place.tier, domain=found.place.domain, key=found.key,
            nbytes=header.nbytes, segment=header.segment, xxh3=header.xxh3,
            generation=header.generation,
        )  # fmt: skip
    if row is not None:
        return FragmentPlace(nbytes=row.nbytes, segment=row.segment, xxh3=row.xxh3)
    return FragmentPlace(nbytes=nbytes)
