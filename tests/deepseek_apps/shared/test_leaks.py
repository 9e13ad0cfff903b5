"""Leaks are found by content and by group, and shuffled labels give chance unless data leak."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_apps.shared.chance import shuffled_labels
from deepseek_apps.shared.leaks import connected, leaks
from deepseek_core import errors


def test_items_of_a_later_part_that_an_earlier_one_has_are_counted():
    keys = ["x", "y", "x", "z", "x", None, None]
    parts = {"train": [0, 1, 5], "validation": [2], "test": [3, 4, 6]}
    found = leaks(keys, parts, what="sentence")
    assert [(leak.part, leak.other, leak.count, leak.of) for leak in found] == [
        ("validation", "train", 1, 1),
        ("test", "train", 1, 3),
        ("test", "validation", 1, 3),
    ]
    assert found[1].sentence == (
        "1 of 3 items of test have a sentence that is in train too, such as 'x': "
        "its figures flatter"
    )


def test_a_clean_split_has_no_leak():
    assert leaks(["a", "b", "c"], {"train": [0, 1], "test": [2]}) == ()


def test_rows_that_share_a_source_or_a_target_are_one_group():
    groups = connected(["a", "a", "b", "c", None, None], ["x", "y", "y", "z", "q", "r"])
    assert groups[0] == groups[1] == groups[2]
    assert len(set(groups)) == 4


def test_a_value_of_one_column_is_none_of_another():
    assert len(set(connected(["a", "b"], ["b", "a"]))) == 2


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=40))
def test_groups_are_the_connected_components(pairs):
    found = connected([one for one, _ in pairs], [other for _, other in pairs])
    labels = list(range(len(pairs)))
    for _ in pairs:  # the plain way: spread the least label until nothing changes
        for one, (source, target) in enumerate(pairs):
            for other, pair in enumerate(pairs):
                if source == pair[0] or target == pair[1]:
                    labels[one] = labels[other] = min(labels[one], labels[other])
    assert [found.index(group) for group in found] == [labels.index(label) for label in labels]


def scorer(x, x_test, y_test):
    """Train nearest class means on given labels, and score them on true ones."""

    def score(labels):
        means = [x[labels == label].mean(0) for label in (0, 1)]
        distances = [np.square(x_test - mean).sum(1) for mean in means]
        return float((np.argmin(distances, axis=0) == y_test).mean())

    return score


def test_shuffled_labels_give_chance():
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    x = rng.normal(size=(400, 5)) + y[:, None]
    chance = shuffled_labels(
        scorer(x[:200], x[200:], y[200:]), y[:200], measure="accuracy", expected=0.5
    )
    assert not chance.leaks
    assert "chance is 0.500" in chance.sentence


def test_a_score_that_does_not_hang_on_the_labels_leaks():
    rng = np.random.default_rng(0)
    scores = iter(rng.normal(0.9, 0.01, 5))
    chance = shuffled_labels(lambda _: next(scores), [0, 1] * 20, measure="AUC", expected=0.5)
    assert chance.leaks
    assert "something of the test part is in what the model is given" in chance.sentence


def test_one_class_shows_nothing():
    with pytest.raises(errors.InputError, match="over 1 classes show nothing"):
        shuffled_labels(lambda _: 0.5, [1, 1, 1], measure="AUC", expected=0.5)
