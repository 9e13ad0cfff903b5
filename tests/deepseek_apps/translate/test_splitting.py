"""No sentence stands in two parts, whichever side it is on and however many translations it has."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_apps.translate.splitting import shared, split
from deepseek_core import errors

SIDES = st.integers(0, 30)
PAIRS = st.lists(
    st.tuples(SIDES.map("source {}".format), SIDES.map("Ziel {}".format)), min_size=1, max_size=60
)


@settings(deadline=None)
@given(PAIRS)
def test_parts_share_no_sentence_and_lose_no_pair(pairs: list[tuple[str, str]]) -> None:
    try:
        parted, once = split(pairs, 0.2)
    except errors.InputError:
        return  # too few groups
    parts = [[once[n] for n in numbers] for numbers in parted.parts.values()]
    assert sorted(pair for part in parts for pair in part) == sorted(set(pairs))
    for number, part in enumerate(parts):
        for other in parts[number + 1 :]:
            assert shared(part, other) == 0


def test_a_split_does_not_hang_on_the_order_of_the_pairs() -> None:
    pairs = [(f"s {n}", f"t {n // 2}") for n in range(40)]
    assert split(pairs, 0.2)[0].hash == split(pairs[::-1], 0.2)[0].hash


def test_pairs_that_all_hang_together_are_refused() -> None:
    with pytest.raises(errors.InputError, match="1 groups"):
        split([("the same", f"t {n}") for n in range(40)], 0.1)
