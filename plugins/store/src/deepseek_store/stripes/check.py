"""Looks at every fragment of a stripe and says what is wrong."""

from __future__ import annotations

from collections.abc import Collection

from deepseek_store.stripes.fragment_io import Content, FragmentIO, Throttle
from deepseek_store.stripes.identity import FragmentFault
from deepseek_store.stripes.stripe import Stripe


def check_stripe(
    io: FragmentIO,
    stripe: Stripe,
    *,
    deep: bool,
    throttle: Throttle,
    only: Collection[int] | None = None,
    content: Content | None = None,
) -> tuple[FragmentFault, ...]:
    """All faults by index; `deep` reads the payloads too, else headers and lengths.

    `only`: of these fragments. `content` judges the segment in a data fragment that is whole.
    """

    def look(index: int) -> FragmentFault | None:
        return io.inspect(stripe, index, deep=deep, throttle=throttle, content=content)

    wanted = range(len(stripe.fragments)) if only is None else only
    indexes = [index for index in wanted if stripe.fragments[index].nbytes]
    looked = io.each(look, indexes, nbytes=stripe.nbytes if deep else 0)
    faults = [fault for _, fault in looked if fault is not None]
    return tuple(sorted(faults, key=lambda fault: fault.index))
