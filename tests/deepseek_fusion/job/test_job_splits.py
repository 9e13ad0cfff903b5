"""Splits that divide nothing that hangs together, leaks that are told, and intervals."""

import numpy as np
import pytest

pytest.importorskip("torch")

from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_fusion.job.scoring import basis, difference, share
from deepseek_fusion.job.splits import connected, leaks, split_hash, split_rows
from deepseek_fusion.job.table import Row
from deepseek_fusion.job.training import batch_for


def rows(count: int, **more: str) -> list[Row]:
    """Make rows of text."""
    return [
        Row(line=i, text=str(i), picture=None, sound=None, label="a", **more) for i in range(count)
    ]


@given(st.lists(st.frozensets(st.sampled_from("abcdefgh"), max_size=2), min_size=8, max_size=60))
def test_what_hangs_together_is_never_divided(prints) -> None:
    try:
        parts = split_rows(rows(len(prints)), prints, seed=1)
    except errors.InputError:
        return
    assert sorted(i for part in parts.values() for i in part) == list(range(len(prints)))
    assert leaks(parts, prints) == ()


@given(st.lists(st.frozensets(st.integers(0, 9), max_size=3), max_size=25))
def test_clusters_are_those_of_a_plain_search(prints) -> None:
    prints = [frozenset(map(str, one)) for one in prints]
    left, wanted = set(range(len(prints))), []
    while left:
        cluster = {left.pop()}
        while more := {i for i in left if any(prints[i] & prints[j] for j in cluster)}:
            cluster |= more
            left -= more
        wanted.append(sorted(cluster))
    assert sorted(map(sorted, connected(prints))) == sorted(wanted)


def test_parts_have_about_the_shares_that_are_said() -> None:
    parts = split_rows(rows(1000), [frozenset()] * 1000, seed=0)
    assert [len(parts[name]) for name in ("train", "validation", "test")] == [650, 150, 200]
    again = split_rows(rows(1000), [frozenset()] * 1000, seed=0)
    assert parts == again != split_rows(rows(1000), [frozenset()] * 1000, seed=1)


def test_rows_that_all_hang_together_can_not_be_divided() -> None:
    with pytest.raises(errors.InputError, match="column `part`"):
        split_rows(rows(10), [frozenset({"picture:x"})] * 10, seed=0)


def test_named_parts_are_taken_and_their_leaks_told() -> None:
    named = [*rows(3, part="train"), *rows(1, part="validation"), *rows(2, part="test")]
    prints = [frozenset({"picture:x", "group:anna"}), *[frozenset()] * 3,
              frozenset({"picture:x"}), frozenset({"group:anna", "picture:x"})]  # fmt: skip
    parts = split_rows(named, prints, seed=0)
    assert parts == {"train": [0, 1, 2], "validation": [3], "test": [4, 5]}
    assert leaks(parts, prints) == (
        "1 of 2 test rows have a group that training rows have, too",
        "2 of 2 test rows have a picture that training rows have, too",
    )
    with pytest.raises(errors.InputError, match="test part would have no rows"):
        split_rows(rows(3, part="train"), [frozenset()] * 3, seed=0)


def test_a_split_is_named_by_its_rows_whatever_their_order() -> None:
    names = ["a", "b", "c"]
    one = split_hash({"train": [0, 1], "validation": [], "test": [2]}, names)
    assert one == split_hash({"train": [1, 0], "validation": [], "test": [2]}, names)
    assert one != split_hash({"train": [0], "validation": [1], "test": [2]}, names)


@given(st.integers(2, 500), st.integers(2, 128))
def test_no_step_has_one_row_alone(count: int, wanted: int) -> None:
    batch = batch_for(count, wanted)
    assert 2 <= batch <= count
    assert count % batch != 1


def test_one_row_can_not_be_trained_on() -> None:
    with pytest.raises(errors.InputError, match="1 rows"):
        batch_for(1, 64)


def test_intervals_over_seeds_are_those_of_student() -> None:
    right = [np.arange(10) < n for n in (5, 6, 8)]
    found = share(right)
    half = 4.303 * np.std([0.5, 0.6, 0.8], ddof=1) / np.sqrt(3)  # t of 2 degrees of freedom
    assert (found.value - found.low, found.high - found.value) == pytest.approx((half, half))
    assert basis((0, 1, 2)) == "t over 3 seeds"
    gained = difference(right, [np.arange(10) < n for n in (4, 5, 7)])
    assert (gained.value, gained.low, gained.high) == pytest.approx((0.1, 0.1, 0.1))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_intervals_over_rows_hold_their_figure(pairs) -> None:
    one, other = (np.array(column) for column in zip(*pairs, strict=True))
    whole = share([one])
    assert 0 <= whole.low <= whole.value <= whole.high <= 1
    apart = difference([one], [other])
    assert apart.value == pytest.approx(one.mean() - other.mean())
    assert apart.low <= apart.value <= apart.high
