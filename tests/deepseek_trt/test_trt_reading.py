"""Models that are strange, damaged or hostile: read with care or refused with the reason."""

import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from trt_models import F32, X, model, node, quantized_conv, two

from deepseek_core import errors
from deepseek_trt import check
from deepseek_trt.model.digest import digest
from deepseek_trt.model.read import read_model


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "model.onnx"
    given = two("MatMul", np.ones((4, 500), np.float32))
    onnx.save(given, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    return path


def refused(source) -> errors.ArtifactError:
    with pytest.raises(errors.ArtifactError) as told:
        check(source)
    assert told.value.remedy
    return told.value


def test_a_missing_file_a_folder_and_an_empty_file_are_named(tmp_path):
    assert "No such file" in str(refused(tmp_path / "no.onnx"))
    assert "directory" in str(refused(tmp_path))
    (tmp_path / "empty.onnx").write_bytes(b"")
    assert "not a complete ONNX model" in str(refused(tmp_path / "empty.onnx"))
    refused("a\0b")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_never_taken(tmp_path, share):
    content = two("MatMul", np.ones((4, 50), np.float32)).SerializeToString()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with contextlib.suppress(errors.ArtifactError):
        assert not check(path).accepted


def test_any_bytes_are_an_error_of_ours():
    rng = np.random.default_rng(0)
    whole = quantized_conv("float").SerializeToString()
    for _ in range(500):
        content = bytearray(whole)
        for at in rng.integers(0, len(content), 3):
            content[at] = rng.integers(0, 256)
        with contextlib.suppress(errors.DeepSeekError):
            check(bytes(content), targets=["8.6"])
            digest(read_model(bytes(content)))


def test_data_outside_counts_as_inside(outside):
    assert digest(read_model(outside)) == digest(read_model(onnx.load(outside)))


def test_data_that_is_missing_or_short_is_named(outside):
    data = outside.with_name("data.bin")
    data.write_bytes(data.read_bytes()[:-1])
    assert "'w'" in str(refused(outside))
    data.unlink()
    assert "data.bin" in str(refused(outside))


@pytest.mark.parametrize("place", ["../secret", "/etc/passwd", "", "a/../../secret", "a\0b"])
def test_data_is_not_looked_for_outside_of_the_folder(outside, tmp_path, place):
    (tmp_path.parent / "secret").write_bytes(bytes(8000))
    given = onnx.load(outside, load_external_data=False)
    given.graph.initializer[0].external_data[0].value = place
    outside.write_bytes(given.SerializeToString())
    assert "not a file below the model's folder" in str(refused(outside))


def test_a_hub_s_links_lead_to_the_model_and_its_data(outside, tmp_path):
    main = tmp_path / "main"
    main.mkdir()
    for path in (outside, outside.parent / "data.bin"):
        (main / path.name).symlink_to(path)
    assert read_model(main / outside.name) == read_model(outside)


def test_a_link_does_not_lead_out_of_the_folder(outside, tmp_path):
    secret = tmp_path.parent / "linked"
    secret.write_bytes(bytes(8000))
    data = outside.with_name("data.bin")
    data.unlink()
    data.symlink_to(secret)
    assert "not a file below" in str(refused(outside))


def test_lengths_that_do_not_fit_are_refused(outside):
    given = onnx.load(outside, load_external_data=False)
    entries = {e.key: e for e in given.graph.initializer[0].external_data}
    for wrong in ("1", "-5", "99999999999999999999", "x"):
        entries["length"].value = wrong
        outside.write_bytes(given.SerializeToString())
        refused(outside)


def test_a_huge_tensor_that_is_not_there_is_refused_without_reading_it(outside):
    given = onnx.load(outside, load_external_data=False)
    given.graph.initializer[0].dims[:] = [1 << 20, 1 << 20]
    given.graph.initializer[0].external_data.pop()
    outside.write_bytes(given.SerializeToString())
    assert "too large" in str(refused(outside))


def test_an_initializer_with_too_few_bytes_is_an_error():
    given = two("MatMul", np.ones((4, 5), np.float32))
    given.graph.initializer[0].raw_data = b"\0" * 7
    assert "w" in str(refused(given))


def test_names_with_odd_characters_are_told_as_one_line():
    odd = "a\n\x1b[31m\u202eb"
    given = model([node("Unheard", ["x"], ["y"], name=odd, domain="acme")], X, domains=["acme"])
    told = check(given).problems[0]
    assert told.node == odd
    assert str(told).isprintable()


def test_an_unnamed_node_has_the_name_that_tensorrt_gives_it():
    given = model([node("Unheard", ["x"], ["y"], domain="acme")], X, domains=["acme"])
    assert check(given).problems[0].node == "node_of_y"


def test_the_digest_changes_with_each_field_that_counts():
    base = two("MatMul", np.ones((4, 5), np.float32), name_of=1)
    changed = []
    for change in (
        lambda m: m.graph.node[0].attribute[0].__setattr__("i", 2),
        lambda m: m.graph.node[0].__setattr__("op_type", "Gemm"),
        lambda m: m.graph.input[0].__setattr__("name", "z"),
        lambda m: m.opset_import[0].__setattr__("version", 18),
        lambda m: m.graph.initializer[0].__setattr__("data_type", TensorProto.INT32),
    ):
        other = read_model(base)
        change(other)
        changed.append(digest(other))
    assert len({digest(base), *changed}) == 6


def test_numbers_in_attributes_count_too():
    def with_constant(value: float):
        made = helper.make_tensor("c", F32, [1], [value])
        return model([node("Constant", [], ["c"], value=made), node("Add", ["x", "c"], ["y"])], X)

    assert digest(with_constant(1.0)) == digest(with_constant(1.0))
    assert digest(with_constant(1.0)) != digest(with_constant(2.0))


def test_a_chain_of_many_nodes_is_checked_in_little_work():
    count = 20_000
    nodes = [node("Relu", [f"t{i}"], [f"t{i + 1}"]) for i in range(count)]
    assert check(model(nodes, [("t0", F32, [2])], [(f"t{count}", F32)])).accepted


def test_quantizing_between_product_and_activation_is_worth_a_warning():
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("QuantizeLinear", ["c", "s", "z"], ["q"]),
        node("DequantizeLinear", ["q", "s", "z"], ["f"]),
        node("Relu", ["f"], ["y"], name="late"),
    ]
    weights = {"w": np.ones((4, 3, 3, 3), np.float32), "s": np.float32(0.1), "z": np.int8(0)}
    found = check(model(nodes, [("x", F32, [1, 3, 8, 8])], weights=weights))
    assert found.accepted
    assert [(p.rule, p.node, p.level) for p in found.problems] == [("placement", "late", "warning")]
