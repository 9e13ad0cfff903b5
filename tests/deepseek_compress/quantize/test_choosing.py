"""What is shipped: the better one, and by how much."""

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


def test_of_equals_the_one_without_training_is_shipped():
    assert choose({"ptq": 0.8, "qat": 0.8}, lambda accuracy: accuracy, ACCURACY).shipped == "ptq"


def test_figures_are_told_in_the_metrics_unit():
    """Below 0, too: the next is the best of the others, not nothing."""
    error = compression.Metric(name="error", unit="px")
    found = choose({"ptq": -3.5, "qat": -3.2}, lambda error: error, error)
    assert round(found.ahead, 6) == 0.3
    assert str(found) == "qat is shipped: ptq -3.5 px, qat -3.2 px (+0.3 px)"
