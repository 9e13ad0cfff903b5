"""Layers are measured on the device at a few sizes; between them it is interpolated."""

import attrs
import onnx
import onnxruntime as ort
import pytest

from deepseek_compress.measure.layer_models import LayerShape, int8_layer
from deepseek_compress.measure.layer_table import LayerTable
from deepseek_compress.measure.model_latency import BEHIND, LatencyModel
from deepseek_core import compression, errors

CONV = {
    "in_channels": 16, "out_channels": 32, "kernel": [3, 3], "stride": [1, 1],
    "padding": [1, 1], "image": [14, 14],
}  # fmt: skip


@pytest.fixture
def budget(own_cache):
    return compression.LatencyBudget(device="cpu", seconds=1.0)


def test_a_layer_takes_time_and_is_measured_once(budget, monkeypatch):
    with LayerTable(budget) as table:
        first = table(CONV)
        assert 0 <= first < 1
        assert 0 < table.run_s < 1
        monkeypatch.setattr(table, "_ask", None)  # it would fail if it were asked again
        assert table(CONV) == first
        assert table({"in_channels": 16, "out_channels": 32, **CONV}) == first


def test_a_later_process_finds_it_in_the_history(budget, monkeypatch):
    with LayerTable(budget) as table:
        table(CONV)
    with LayerTable(budget) as table:
        monkeypatch.setattr(table._session, "calibrate", None)
        assert table(CONV) >= 0


def test_between_the_measured_sizes_it_is_interpolated(budget, monkeypatch):
    with LayerTable(budget) as table:
        monkeypatch.setattr(
            table, "_measured", lambda shape: shape.in_channels * 100.0 + shape.out_channels
        )
        layer = {**CONV, "full_in": 16, "full_out": 32, "in_channels": 13, "out_channels": 27}
        assert table(layer) == pytest.approx(1327.0)


@pytest.mark.parametrize(
    "layer",
    [
        {"in_channels": 10, "out_channels": 4},
        {**CONV, "groups": 16, "out_channels": 16},
        {**CONV, "kernel": [3], "stride": [1], "padding": [1], "image": [20]},
    ],
)
def test_other_layers_are_measured_too(budget, layer):
    with LayerTable(budget) as table:
        assert table(layer) >= 0


@pytest.mark.parametrize(
    "shape",
    [
        LayerShape(in_channels=10, out_channels=4),
        LayerShape(**{k: tuple(v) if isinstance(v, list) else v for k, v in CONV.items()}),
        LayerShape(
            in_channels=16, out_channels=16, groups=16, kernel=(3, 3), stride=(2, 2),
            padding=(1, 1), image=(14, 14),
        ),
    ],
)  # fmt: skip
def test_an_int8_layer_runs_as_one_integer_operation(shape, budget, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    model = int8_layer(shape).SerializeToString()
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (node,) = onnx.load(tmp_path / "optimized.onnx").graph.node
    assert node.op_type in ("QLinearConv", "QLinearMatMul")
    with LayerTable(budget, int8_layer) as table:
        assert table(attrs.asdict(shape)) >= 0


def test_what_any_run_costs_and_what_lies_behind_a_layer_are_told_apart(budget, monkeypatch):
    shapes = {"a": (LayerShape(**dict.fromkeys(("in_channels", "out_channels"), 8)),), "b": ()}
    with LayerTable(budget) as table:
        # A run takes 3 s whatever it computes, and 1/64 s for each multiply-accumulate.
        monkeypatch.setattr(table, "_whole_s", lambda shape: 3 + (shape.macs - 1) / 64)
        assert table({"in_channels": 8, "out_channels": 8}) == pytest.approx(63 / 64)
        model = LatencyModel.fitted(table, shapes, 3 + 2 * 63 / 64)
        assert sum(model.layer_s(name, None, None) for name in shapes) == pytest.approx(3 + 63 / 32)
        half = {"name": "a", "in_channels": 4, "out_channels": 8}
        quarter = {"name": "a", "in_channels": 4, "out_channels": 4}
    scale = 2 / (1 + BEHIND)
    assert model.factor == pytest.approx(scale)
    assert model(half) == pytest.approx(1.5 + scale * (31 + BEHIND * 63) / 64)
    assert model(quarter) == pytest.approx(1.5 + scale * (15 + BEHIND * 63 / 2) / 64)


def test_a_depthwise_layer_keeps_a_group_for_each_channel():
    shape = LayerShape(in_channels=8, out_channels=8, kernel=(3, 3), groups=8)
    narrow = shape.with_channels(4, 6)
    assert (narrow.in_channels, narrow.out_channels, narrow.groups) == (4, 4, 4)


@pytest.mark.parametrize(
    ("groups", "asked"), [(4, {64}), (64, {16, 32}), (1, {16, 32})], ids=["grouped", "depth", "no"]
)
def test_layers_are_measured_narrower_unless_they_are_grouped(budget, monkeypatch, groups, asked):
    full = LayerShape(
        in_channels=64, out_channels=64, kernel=(3, 3), stride=(1, 1), padding=(1, 1), image=(8, 8),
        groups=groups,
    )  # fmt: skip
    seen = set()
    with LayerTable(budget) as table:
        monkeypatch.setattr(table, "_measured", lambda shape: seen.add(shape.in_channels) or 1.0)
        narrow = attrs.asdict(full.with_channels(24, 24))
        table(narrow | {"full_in": 64, "full_out": 64})
    assert seen == asked


def test_a_device_that_is_not_there_is_told(own_cache):
    with pytest.raises(errors.DeepSeekError):
        LayerTable(compression.LatencyBudget(device="no_such_device", seconds=1.0))
