"""What callers pass for a tensor becomes an array that fits, or an error that says why not."""

import ml_dtypes
import numpy as np
import pytest

from deepseek_core import HostTensor, TensorSpec, as_array, errors


def spec(dtype="float32", shape=("N", 2), **more):
    return TensorSpec(name="x", dtype=dtype, shape=shape, **more)


@pytest.mark.parametrize(
    ("dtype", "given", "right"),
    [
        ("float32", [[1, 2]], np.array([[1, 2]], np.float32)),
        ("float32", ((1.5, 2),), np.array([[1.5, 2]], np.float32)),
        ("float16", [[2049, 1]], np.array([[2048, 1]], np.float16)),
        ("int64", [[1, 2]], np.array([[1, 2]])),
        ("uint8", [[0, 255]], np.array([[0, 255]], np.uint8)),
        ("bool", [[True, False]], np.array([[True, False]])),
        ("bool", [[1, 0]], np.array([[True, False]])),
        ("string", [["a", "ü"]], np.array([["a", "ü"]])),
        ("string", np.array([[b"a", "ü".encode()]]), np.array([["a", "ü"]], object)),
        ("string", np.array([["a", b"b"]], object), np.array([["a", "b"]], object)),
        ("string", np.array([["a", "bb"]], np.dtypes.StringDType()), np.array([["a", "bb"]])),
        ("float32", np.array([[1, 2]], ">f4"), np.array([[1, 2]], np.float32)),
        ("bfloat16", np.array([[b"\0\0", b"\x80\x3f"]], "V2"), None),
    ],
)
def test_it_fits_after_conversion(dtype, given, right):
    made = as_array(spec(dtype), given)
    if right is None:
        assert made.dtype == ml_dtypes.bfloat16 and made.tolist() == [[0, 1]]
        return
    assert made.shape == right.shape
    assert made.tolist() == right.tolist()
    assert made.dtype.isnative
    spec(dtype).check(made)


def test_an_array_that_fits_is_not_copied():
    array = np.ones((3, 2), np.float32)
    assert as_array(spec(), array) is array


def test_a_number_is_an_array_without_axes():
    assert as_array(spec(shape=()), 3).shape == ()
    assert as_array(spec(shape=()), np.float32(3)).dtype == np.float32


def test_tensors_of_other_libraries_come_by_dlpack():
    torch = pytest.importorskip("torch")
    made = as_array(spec(), torch.ones(3, 2))
    assert isinstance(made, np.ndarray) and made.dtype == np.float32


def test_a_host_tensor_stays_one_if_it_fits():
    held = HostTensor(data=b"\0" * 4, dtype="bfloat16", shape=(1, 2))
    assert as_array(spec("bfloat16"), held) is held
    with pytest.raises(errors.TensorMismatch):
        as_array(spec(), held)


def test_what_is_no_tensor_is_passed_on():
    sequence = spec("any", None, container="sequence(tensor(float32))")
    given = [np.ones(2), np.ones(3)]
    assert as_array(sequence, given) is given


def test_any_rank_is_any_rank():
    for shape in ((), (2,), (1, 2, 3)):
        assert as_array(spec(shape=None), np.ones(shape, np.float32)).shape == shape


@pytest.mark.parametrize(
    ("dtype", "given", "words"),
    [
        ("float32", None, "given a NoneType"),
        ("float32", {"a": 1}, "given a dict"),
        ("float32", np.ones((1, 2)), "given float64 [1, 2]"),
        ("float32", np.ones(2, np.float32), "given float32 [2]"),
        ("float32", np.ones((1, 3), np.float32), "expected float32 [N, 2]"),
        ("float32", [[1, 2], [3]], "no array"),
        ("float32", [["a", "b"]], "string"),
        ("float32", [[1j, 2]], "complex128 numbers"),
        ("int64", [[1.5, 2]], "float64 numbers"),
        ("uint8", [[1, 256]], "beyond its range"),
        ("uint8", [[-1, 2]], "beyond its range"),
        ("bool", [[2, 0]], "beyond its range"),
        ("string", np.array([[1, 2]]), "given int64"),
        ("string", np.array([["a", 1]], object), "given a int among the strings"),
        ("string", np.array([[b"\xff", b""]]), "no UTF-8"),
        ("float32", np.ma.array(np.ones((1, 2), np.float32), mask=[[1, 0]]), "masked values"),
        ("float32", memoryview(b"abc"), "given a memoryview"),
        ("float32", object(), "given a object"),
    ],
)
def test_what_does_not_fit_is_told_with_what_was_expected(dtype, given, words):
    with pytest.raises(errors.TensorMismatch) as caught:
        as_array(spec(dtype), given)
    assert words in str(caught.value)
    assert "'x'" in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    "given", [None, np.ones(2), [np.ones(2)], "x", 5, {0: np.ones((1, 2))}, {"y": np.ones((1, 2))}]
)
def test_inputs_are_a_mapping_by_name(given):
    from plain_graphs import chain

    with pytest.raises(errors.TensorMismatch):
        chain().admit(given)
