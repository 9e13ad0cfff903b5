"""Looks at every fragment of a stripe and says what is wrong."""

from __future__ import annotations

from deepseek_store.stripes.fragment_io import FragmentIO, Throttle
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.stripe import Stripe


def check_stripe(
    io: FragmentIO, stripe: Stripe, *, deep: bool, throttle: Throttle
) -> tuple[FragmentFault, ...]:
    """All faults by index; `deep` reads the payloads too, else headers and lengths."""

    def look(index: int) -> FragmentFault | None:
        return io.inspect(stripe, index, deep=deep, throttle=throttle)

    indexes = [index for index, each in enumerate(stripe.fragments) if each.nbytes]
    looked = io.each(look, indexes, nbytes=stripe.nbytes if deep else 0)
    faults = [fault for _, fault in looked if fault is not None]
    return tuple(sorted(faults, key=lambda fault: fault.index))
