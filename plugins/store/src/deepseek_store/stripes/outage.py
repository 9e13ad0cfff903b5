"""Tells an outage from a loss: which fragments a read could not have, and whether they come back.

A fragment that can't be reached may be back in a moment; one that is missing or damaged is not. So
a stripe is lost only if what was read and is bad, or is not there, is more than its code bears.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from deepseek_core import errors
from deepseek_store.codes import DecodePlan
from deepseek_store.errors import Unrecoverable
from deepseek_store.stripes.fragment_io import FragmentIO
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.layout import Place
from deepseek_store.stripes.stripe import FragmentPlace, Stripe

Failed = dict[int, FragmentFault]
"""Fragments that are not to be read, by index, each with why."""

_MOST_TOLD = 4


def plan_around(
    io: FragmentIO, stripe: Stripe, failed: Mapping[int, FragmentFault], wanted: Collection[int]
) -> DecodePlan:
    """What to read to rebuild the wanted fragments without those that failed.

    Raises:
        TierUnavailable: it can't be done until some of them can be reached again.
        Unrecoverable: it can't be done even then.
    """
    try:
        return io.plan(stripe, failed, wanted)
    except Unrecoverable as error:
        gone = {index for index, fault in failed.items() if fault.kind != "unreachable"}
        # One that is only away needs no decoding once it is back.
        needed = gone.intersection(wanted)
        try:
            if needed:
                io.plan(stripe, gone, needed)
        except Unrecoverable as loss:
            raise _loss(io, stripe, failed, loss) from None
        raise _outage(io, stripe, failed, error) from None


def _outage(
    io: FragmentIO, stripe: Stripe, failed: Mapping[int, FragmentFault], error: Unrecoverable
) -> errors.TierUnavailable:
    away = [fault for _, fault in sorted(failed.items()) if fault.kind == "unreachable"]
    bad = [fault for _, fault in sorted(failed.items()) if fault.kind != "unreachable"]
    also = f"; besides, {told(io, stripe, bad)}" if bad else ""
    return errors.TierUnavailable(
        f"stripe {stripe.id:x}, {stripe.code.name}, can't be read now: "
        f"{told(io, stripe, away)}{also}. Nothing of it is known to be lost",
        url=io.url_of(stripe.fragments[away[0].index]) or error.url,
        remedy=next((f.remedy for f in away if f.remedy), "bring it back, then try again"),
    )


def _loss(
    io: FragmentIO, stripe: Stripe, failed: Mapping[int, FragmentFault], error: Unrecoverable
) -> Unrecoverable:
    faults = [fault for _, fault in sorted(failed.items())]
    return Unrecoverable(
        f"{error.message}: {told(io, stripe, faults)}" if faults else error.message,
        url=error.url,
        lost=sorted(failed),
        remedy=error.remedy,
    )


def told(io: FragmentIO, stripe: Stripe, faults: Collection[FragmentFault]) -> str:
    """What is wrong in words: domains with the same trouble together, each with its cause."""
    groups: dict[tuple[int, str, str], list[FragmentFault]] = {}
    for fault in faults:
        place = stripe.fragments[fault.index]
        groups.setdefault((place.tier, fault.kind, _cause(fault, place)), []).append(fault)
    texts = [_group(io, stripe, group) for group in list(groups.values())[:_MOST_TOLD]]
    more = len(groups) - len(texts)
    return "; ".join([*texts, f"and {more} causes more"] if more else texts)


def _cause(fault: FragmentFault, place: FragmentPlace) -> str:
    """Why a fragment failed, without what only names that fragment and its domain."""
    text = fault.detail.replace(place.key, "-") if place.key else fault.detail
    return re.sub(rf"\b{re.escape(place.domain)}\b", "-", text) if place.domain else text


def _group(io: FragmentIO, stripe: Stripe, faults: list[FragmentFault]) -> str:
    places = list(dict.fromkeys(stripe.fragments[fault.index].place for fault in faults))
    url = io.url_of(stripe.fragments[faults[0].index])
    domains = ", ".join(place.domain for place in places[:_MOST_TOLD] if place.domain)
    more = f" and {len(places) - _MOST_TOLD} more" if len(places) > _MOST_TOLD else ""
    where = f"{url} ({domains}{more})" if domains else url or _numbered(places[0])
    what = "" if faults[0].kind == "unreachable" else f"{len(faults)} fragments {faults[0].kind}, "
    return f"{where}: {what}{faults[0].detail.removeprefix(f'{url}: ')}"


def _numbered(place: Place) -> str:
    return f"tier number {place.tier}"
