"""Arrays that go with a call: the same bits there, in arguments that Ray does not store."""

import numpy as np
import pytest

from deepseek_ray.pieces import MOST, cut, joined

LIMIT = 100 * 1024  # of an argument, above which Ray puts it into the store

ARRAYS = {
    "empty": np.zeros((0, 4), np.float32),
    "scalar": np.array(2.5),
    "flags": np.array([[True, False]]),
    "one piece": np.arange(20_000, dtype=np.float32).reshape(4, 5000),
    "pieces that end in mid-number": np.arange(60_001, dtype=np.complex128)[:32_001],
    "the most": np.arange(MOST // 2, dtype=np.int16).reshape(2, -1),
    "not in a row": np.arange(120_000, dtype=np.int32).reshape(400, 300)[::2, ::-1],
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_as_it_was(name):
    value = ARRAYS[name]
    pieces, look = cut(value)
    made = joined(pieces, look)
    assert look is not None
    assert all(type(piece) is bytes and len(piece) < LIMIT for piece in pieces)
    assert (made.dtype, made.shape) == (value.dtype, value.shape)
    assert made.tobytes() == value.tobytes()
    assert not made.flags.writeable


@pytest.mark.parametrize(
    "value",
    [
        np.zeros(MOST + 1, np.uint8),
        np.array(["text", None], object),
        np.array(["text"]),
        np.zeros(3, ">f4"),
        [1, 2],
        3,
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'dtype', '')}",
)
def test_what_is_too_large_or_no_plain_numbers_goes_as_it_is(value):
    pieces, look = cut(value)
    assert look is None
    assert joined(pieces, look) is value
