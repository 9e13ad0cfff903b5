"""Splits keep groups whole and classes even, and are equal for equal data in any order."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_apps.shared.splits import folds, named_split, split
from deepseek_core import errors

SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}


def ids_of(count):
    return [f"item-{number}" for number in range(count)]


def by_id(found, ids):
    return {part: {ids[item] for item in items} for part, items in found.parts.items()}


def test_parts_have_their_shares():
    assert split(ids_of(1000), SHARES, seed=0).counts == {
        "train": 700, "validation": 100, "test": 200,
    }  # fmt: skip


def test_the_order_of_the_items_changes_neither_parts_nor_hash():
    ids = ids_of(200)
    mixed = random.Random(0).sample(ids, len(ids))
    one, other = split(ids, SHARES, seed=3), split(mixed, SHARES, seed=3)
    assert by_id(one, ids) == by_id(other, mixed)
    assert one.hash == other.hash


def test_another_seed_gives_another_split_and_hash():
    ids = ids_of(200)
    one, other = (split(ids, SHARES, seed=seed) for seed in (0, 1))
    assert one.parts != other.parts
    assert one.hash != other.hash


def test_a_split_of_today_is_that_of_yesterday():
    found = split(ids_of(20), SHARES, seed=0)
    assert found.hash == "3cde8b5a47ef1c96da8d99503122a9407244f2e51504e6cb1fc64fd1c90ec957"


@given(st.lists(st.integers(0, 12), min_size=60, max_size=120), st.integers(0, 5))
def test_groups_stay_whole_and_every_item_is_in_one_part(groups, seed):
    if len(set(groups)) < 8:
        return
    found = split(ids_of(len(groups)), SHARES, seed=seed, groups=groups)
    parts = [{groups[item] for item in items} for items in found.parts.values()]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    assert sorted(item for items in found.parts.values() for item in items) == list(
        range(len(groups))
    )


def test_classes_are_spread_evenly():
    classes = ["rare" if number % 10 == 0 else "common" for number in range(1000)]
    found = split(ids_of(1000), SHARES, seed=0, classes=classes)
    counts = {part: Counter(classes[i] for i in items) for part, items in found.parts.items()}
    assert counts["test"] == {"rare": 20, "common": 180}
    assert counts["validation"] == {"rare": 10, "common": 90}


def test_folds_hold_each_item_once():
    groups = [number // 4 for number in range(200)]
    found = folds(ids_of(200), 5, seed=0, groups=groups, classes=[g % 2 for g in groups])
    assert sorted(item for fold in found for item in fold) == list(range(200))
    assert {len(fold) for fold in found} == {40}


@pytest.mark.parametrize(
    ("ids", "shares", "groups", "said"),
    [
        (["a", "a", "b"], SHARES, None, "two items have one id"),
        (ids_of(9), {"train": 0.5, "test": 0.6}, None, "shares of the parts"),
        (ids_of(9), {"train": 1.0}, None, "shares of the parts"),
        (ids_of(9), {"train": 1.2, "test": -0.2}, None, "shares of the parts"),
        (ids_of(2), SHARES, None, "2 groups can't be split into 3"),
        (ids_of(9), SHARES, [0] * 9, "1 groups can't be split into 3"),
    ],
)
def test_what_can_not_be_split_is_refused(ids, shares, groups, said):
    with pytest.raises(errors.InputError, match=said):
        split(ids, shares, seed=0, groups=groups)


def test_a_given_split_is_hashed_and_checked():
    ids = ids_of(4)
    found = named_split(ids, {"train": [2, 0], "test": [1, 3]})
    assert found.parts == {"train": (0, 2), "test": (1, 3)}
    assert found.hash == named_split(ids, {"test": [3, 1], "train": [0, 2]}).hash
    assert found.hash != named_split(ids, {"train": [0, 1], "test": [2, 3]}).hash
    with pytest.raises(errors.InputError, match="'item-1' is in 'train' and in 'test'"):
        named_split(ids, {"train": [0, 1], "test": [1]})
    with pytest.raises(errors.InputError, match="'test' is empty"):
        named_split(ids, {"train": [0], "test": []})
