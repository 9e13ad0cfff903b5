"""What callers pass for a tensor: read by value, or refused by name."""

import types
from collections import UserDict

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto
from onnx.helper import make_node
from onnx_models import make_model, tensor
from three_ways import as_artifact, bits, plainly

from deepseek_core import HostTensor, LoadOptions, errors
from deepseek_onnx.frontend import whole_model_stage

X = np.array([[-2, -1, 0], [1, 2, 3]], np.float32)


class Subclass(np.ndarray):
    """An array of a library of its own."""


def load(device, model):
    return device.load(whole_model_stage(as_artifact(model)), LoadOptions())


def doubling():
    return make_model([make_node("Add", ["x", "x"], ["y"])], [tensor("x", ["n", 3])], ["y"])


@pytest.fixture
def doubled(cpu):
    return load(cpu, doubling())


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


UNALIGNED = np.frombuffer(b"\0" + X.tobytes(), np.float32, 6, 1).reshape(2, 3)
READ = {
    "an array": X, "a list": X.tolist(), "big-endian": X.astype(">f4"),
    "every second row": np.repeat(X, 2, 0)[::2], "backward": X[::-1, ::-1][::-1, ::-1],
    "in Fortran's order": np.asfortranarray(X), "read-only": np.broadcast_to(X, X.shape),
    "unaligned": UNALIGNED, "of a subclass": X.view(Subclass), "no masked value": np.ma.array(X),
    "bytes of a host": HostTensor(data=X.tobytes(), dtype="float32", shape=(2, 3)),
}  # fmt: skip


@pytest.mark.parametrize("given", READ.values(), ids=READ)
def test_these_are_read_by_value(doubled, given):
    assert bits(dict(doubled.run({"x": given}))) == bits(plainly(doubling(), {"x": X}))


def test_a_file_may_be_mapped(doubled, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert bits(dict(doubled.run({"x": mapped}))) == bits(plainly(doubling(), {"x": X}))


def test_tensors_of_torch_and_values_of_the_runtime_are_read_by_value(doubled, torch):
    import onnxruntime

    expected = bits(plainly(doubling(), {"x": X}))
    for given in (
        torch.from_numpy(X.copy()),
        torch.from_numpy(X.T.copy()).T,
        onnxruntime.OrtValue.ortvalue_from_numpy(X),
    ):
        assert bits(dict(doubled.run({"x": given}))) == expected


REFUSED = {
    "float64": X.astype(np.float64), "float16": X.astype(np.float16), "int32": X.astype(np.int32),
    "complex": X + 1j, "bool": X > 0, "a vector": X[0], "three axes": X[None],
    "another width": np.ones((2, 4), np.float32), "a scalar": np.float32(1), "None": None,
    "text": "abc", "bytes": b"abc", "a dict": {"a": 1}, "a set": {1}, "an iterator": iter([X]),
    "ragged": [[1, 2], [3]], "objects": X.astype(object), "texts": np.array([["a"] * 3]),
    "fields": np.zeros((2, 3), [("a", "f4")]), "dates": np.zeros((2, 3), "M8[s]"),
    "long doubles": X.astype(np.longdouble), "masked": np.ma.array(X, mask=X > 0),
    "bfloat16": X.astype(ml_dtypes.bfloat16), "huge numbers": [[10**400] * 3],
}  # fmt: skip


@pytest.mark.parametrize("given", REFUSED.values(), ids=REFUSED)
def test_these_are_refused_by_the_name_of_the_input(doubled, given):
    with pytest.raises(errors.TensorMismatch, match=r"tensor 'x': expected float32 \[n, 3\]"):
        doubled.run({"x": given})


@pytest.mark.parametrize("kind", ["meta", "sparse", "gradient", "bfloat16"])
def test_tensors_of_torch_that_have_no_numbers_to_see_are_refused(doubled, torch, kind):
    made = {
        "meta": lambda: torch.empty(2, 3, device="meta"),
        "sparse": lambda: torch.eye(3).to_sparse(),
        "gradient": lambda: torch.ones(2, 3, requires_grad=True),
        "bfloat16": lambda: torch.ones(2, 3, dtype=torch.bfloat16),
    }[kind]()
    with pytest.raises(errors.TensorMismatch, match="numpy can't view this Tensor"):
        doubled.run({"x": made})
    with pytest.raises(errors.InputError):
        doubled.bind({"x": made}, {})


@pytest.mark.parametrize(
    "inputs", [None, [], [X], X, "x", {1: X}, {None: X}, {"X": X}, {b"x": X}, {"x": X, "z": X},
               {"x": X, 1: X}],
    ids=lambda inputs: str(list(inputs)) if isinstance(inputs, dict) else type(inputs).__name__,
)  # fmt: skip
def test_inputs_are_a_mapping_by_name(doubled, inputs):
    with pytest.raises(errors.TensorMismatch):
        doubled.run(inputs)
    with pytest.raises(errors.TensorMismatch):
        doubled.bind(inputs, {})


@pytest.mark.parametrize("mapping", [types.MappingProxyType, UserDict, dict])
def test_any_mapping_will_do(doubled, mapping):
    assert bits(doubled.run(mapping({"x": X}))["y"]) == bits(X + X)


@pytest.mark.parametrize("given", [None, X.tolist(), 3], ids=str)
def test_a_bound_call_takes_arrays_only(doubled, given):
    with pytest.raises(errors.TensorMismatch, match="pass a numpy array"):
        doubled.bind({"x": given}, {})
    with pytest.raises(errors.TensorMismatch, match="pass a numpy array"):
        doubled.bind({"x": X}, {"y": given})


def test_a_bound_call_may_write_where_it_reads_and_hold_no_items(doubled):
    x = X.copy()
    doubled.bind({"x": x}, {"y": x})()
    assert bits(x) == bits(X + X)
    none = np.empty((0, 3), np.float32)
    doubled.bind({"x": none}, {"y": none.copy()})()


def test_no_items_give_no_items(doubled):
    assert bits(doubled.run({"x": X[:0]})["y"]) == bits(X[:0])


def test_outputs_stay_what_they_are_and_are_the_callers(cpu):
    nodes = [
        make_node("Cast", ["x"], ["b"], to=TensorProto.BFLOAT16),
        make_node("Neg", ["x"], ["y"]),
    ]
    model = make_model(nodes, [tensor("x", ["n", 3])], ["b", "y"])
    loaded = load(cpu, model)
    first = loaded.run({"x": X})
    kept = bits({name: value.copy() for name, value in first.items()})
    for i in range(5):
        loaded.run({"x": X + i})
    loaded.close()
    assert bits(dict(first)) == kept
    assert all(value.flags.writeable for value in first.values())


def test_outputs_that_are_inputs_or_constants_are_copies(cpu):
    nodes = [make_node("Identity", ["x"], ["y"])]
    outputs = ["y", tensor("x", ["n", 3]), tensor("c", [3])]
    model = make_model(nodes, [tensor("x", ["n", 3])], outputs, {"c": X[0]})
    loaded, x = load(cpu, model), X.copy()
    for value in loaded.run({"x": x}).values():
        value[...] = 99
    assert bits(x) == bits(X)
    assert bits(loaded.run({"x": x})["c"]) == bits(X[0])


NAN = np.array([0x7FC00001, 0x7F800001, 0xFFC12345, 0x80000000], np.uint32)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_a_nan_keeps_its_bits(cpu, dtype):
    element = getattr(TensorProto, {"float32": "FLOAT"}.get(dtype, dtype.upper()))
    x = (NAN if dtype == "float32" else (NAN >> 16).astype(np.uint16)).view(dtype)
    model = make_model([make_node("Identity", ["x"], ["y"])], [tensor("x", ["n"], element)], ["y"])
    assert load(cpu, model).run({"x": x})["y"].tobytes() == x.tobytes()


@pytest.fixture
def echo(cpu):
    node = make_node("Identity", ["s"], ["y"])
    text = tensor("s", ["n"], TensorProto.STRING)
    return load(cpu, make_model([node], [text], ["y"]))


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (np.array(["a", "ü"]), ["a", "ü"]), (np.array([b"a", "ü".encode()]), ["a", "ü"]),
        (["a", "b"], ["a", "b"]), (np.array(["a\0b", "\0"], object), ["a\0b", "\0"]),
        (np.array([], object), []), (np.array(["a"], ">U1"), ["a"]),
        (np.array(["x" * 100_000] * 20, object), ["x" * 100_000] * 20),
        (np.array(["text"] * 50_000, object)[::2], ["text"] * 25_000),
    ],
    ids=["str", "bytes", "list", "zeros inside", "none", "big-endian", "long", "many"],
)  # fmt: skip
def test_text_is_read_by_value(echo, given, read):
    assert echo.run({"s": given})["y"].tolist() == read


@pytest.mark.parametrize(
    "given", [np.array([b"\xff"]), np.array(["a", None], object), np.array([1, 2], object),
              np.array(["\ud800"], object), "a", np.array([1.0])],
    ids=["no UTF-8", "None inside", "numbers", "half a character", "no axis", "floats"],
)  # fmt: skip
def test_what_is_no_text_is_an_error_of_the_input(echo, given):
    with pytest.raises(errors.InputError):
        echo.run({"s": given})
