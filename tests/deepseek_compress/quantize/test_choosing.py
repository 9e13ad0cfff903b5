"""What is shipped: the plain one, unless the other is better by more than chance."""

import pytest

from deepseek_compress.quantize.choosing import choose
from deepseek_core import compression

ACCURACY = compression.Metric()


def test_the_better_one_is_shipped_and_said():
    found = choose({"ptq": 0.80, "qat": 0.86}, lambda accuracy: accuracy, ACCURACY)
    assert found.shipped == "qat"
    assert round(found.ahead, 6) == 6.0
    assert str(found) == "qat is shipped: ptq 80.00 %, qat 86.00 % (+6.00 points)"


def test_training_that_made_it_worse_is_not_shipped():
    found = choose({"ptq": 0.80, "qat": 0.79}, lambda accuracy: accuracy, ACCURACY)
    assert (found.shipped, found.figures["qat"]) == ("ptq", 0.79)
    assert str(found) == "ptq is shipped: ptq 80.00 %, qat 79.00 % (-1.00 points)"


def test_of_equals_the_one_without_training_is_shipped():
    assert choose({"ptq": 0.8, "qat": 0.8}, lambda accuracy: accuracy, ACCURACY).shipped == "ptq"


def test_figures_are_told_in_the_metrics_unit():
    """Below 0, too: the next is the best of the others, not nothing."""
    error = compression.Metric(name="error", unit="px")
    found = choose({"ptq": -3.5, "qat": -3.2}, lambda error: error, error)
    assert round(found.ahead, 6) == 0.3
    assert str(found) == "qat is shipped: ptq -3.5 px, qat -3.2 px (+0.3 px)"


def by(low, high):
    """What compares two: the one is so much ahead."""
    return lambda one, other: compression.Interval(
        value=100 * (one - other), low=low, high=high, count=500
    )


@pytest.mark.parametrize(
    ("low", "shipped", "why"),
    [
        (0.1, "qat", "+0.40 points"),
        (0.0, "ptq", "a lead of 0.40 points (0.00 to 0.90) may be chance"),
        (-0.1, "ptq", "a lead of 0.40 points (-0.10 to 0.90) may be chance"),
    ],
)
def test_a_lead_that_may_be_chance_ships_the_plain_one(low, shipped, why):
    found = choose({"ptq": 0.8, "qat": 0.804}, lambda figure: figure, ACCURACY, by(low, 0.9))
    assert str(found) == f"{shipped} is shipped: ptq 80.00 %, qat 80.40 % ({why})"


def test_what_can_not_be_compared_is_judged_by_its_figure():
    found = choose({"ptq": 0.8, "qat": 0.804}, lambda f: f, ACCURACY, lambda _one, _other: None)
    assert found.shipped == "qat"
