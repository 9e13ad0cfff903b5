"""Labels of classes: whole numbers from 0; everything else is refused with what to do."""

import numpy as np
import pytest

from deepseek_compress.samples.labels import OneClass, class_labels, counts_of, warn_of_one_class
from deepseek_core import errors

Y = np.array([0, 2, 1, 2])


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "u4"])
def test_whole_numbers(dtype):
    found = class_labels(Y.astype(dtype), 3, "data")
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, Y)
    np.testing.assert_array_equal(class_labels(Y[:, None].astype(dtype), 3, "data"), Y)


@pytest.mark.parametrize(
    ("labels", "remedy"),
    [
        (Y.astype(np.float32), "y.astype(np.int64)"),
        (np.eye(3)[Y], "y.argmax(axis=1)"),
        (np.eye(3, dtype=int)[Y], "y.argmax(axis=1)"),
        (Y == 2, "y.astype(np.int64)"),
        (Y + 1, "y - 1"),
        (Y - 1, "from 0 to 2"),
        (Y * 9, "from 0 to 2"),
        (None, "return (x, y)"),
    ],
)
def test_what_is_no_class(labels, remedy):
    with pytest.raises(errors.InputError) as caught:
        class_labels(labels, 3, "data")
    assert remedy in caught.value.remedy


def test_one_class_is_warned_of():
    with pytest.warns(OneClass, match="all 4 samples are of class 1"):
        warn_of_one_class(counts_of([np.array([1, 1]), np.array([1, 1])]), "the test data")
    warn_of_one_class(counts_of([Y]), "the test data")


@pytest.mark.parametrize("none", [-100, -1, 255])
def test_labels_of_no_class_are_told_what_to_do_with(none):
    labels = np.array([0, 1, none, 2])
    with pytest.raises(errors.InputError, match="labels go from") as caught:
        class_labels(labels, 3, "the data")
    assert "data.loss" in caught.value.remedy
