"""Calibration: ranges are what samples show, and bad sets are refused with the reason."""

import attrs
import numpy as np
import pytest
from onnx import TensorProto, helper
from small_onnx import IDIOMS, Net, noise, samples_for

from deepseek_compress.errors import BadCalibration
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.feeding import as_samples
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare
from deepseek_compress.onnx_graph.work import macs_by_node
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_compress.quantize.weights import scales_of
from deepseek_compress.samples.arrays import ArraySamples
from deepseek_core import errors


@pytest.fixture(scope="module")
def model():
    return read_float_model(IDIOMS["residual"]())


@pytest.fixture
def x(model):
    return samples_for(model.proto)


def lower(model, spec):
    return lower_ort_x86(model, spec).proto


def ranges(model, x, method, **more):
    return calibrate(model, x, CalibrationSettings(method=method, **more)).spec.activations


# Ranges and scales


@pytest.mark.parametrize("batch", ["N", 1, 5])
def test_min_and_max_are_those_of_all_samples_whatever_the_batch(batch):
    samples = noise(23, 4, 8, 8)
    found = calibrate(read_float_model(IDIOMS["residual"](batch=batch)), samples)
    seen = found.spec.activations["x"]
    assert (seen.min, seen.max) == (samples.min(), samples.max())
    assert found.spec.samples == 23
    assert found.notes[-1].startswith("23 samples")


def test_every_float_tensor_has_a_range_and_every_weight_scales(model, x):
    spec = calibrate(model, x).spec
    assert set(spec.activations) == set(model.float_tensors())
    assert spec.weights.keys() <= {t.name for t in model.proto.graph.initializer}
    assert sorted(len(kept.scales) for kept in spec.weights.values()) == [5, 8, 8, 8, 16]
    assert all(max(kept.scales) > 0 for kept in spec.weights.values())


@pytest.mark.parametrize("method", ["percentile", "mse"])
def test_other_methods_are_no_wider(model, x, method):
    whole, found = ranges(model, x, "minmax"), ranges(model, x, method, activation_bits=4)
    assert whole.keys() == found.keys()
    for name, got in found.items():
        assert min(whole[name].min, 0.0) <= got.min <= got.max <= whole[name].max
        assert (got.source, got.bits) == (method, 4)


def test_least_squared_error_is_least(model, x):
    def loss(found):
        scale, zero = found.affine()
        steps = np.clip(np.rint(x / scale), -zero, 2**found.bits - 1 - zero)
        return np.square(x - steps * scale).mean()

    losses = {m: loss(ranges(model, x, m, activation_bits=3)["x"]) for m in ("minmax", "mse")}
    assert losses["mse"] < 0.7 * losses["minmax"]


def test_weights_of_least_squared_error_lose_less():
    values = np.random.default_rng(0).normal(size=(6, 4, 3, 3)).astype(np.float32)
    values[2] = 0

    def loss(method):
        found = scales_of(values, 0, 3, method)
        scales = np.asarray(found.scales)
        assert scales[2] == 0
        scales = np.where(scales > 0, scales, 1.0)[:, None, None, None]
        return np.square(values - np.clip(np.rint(values / scales), -3, 3) * scales).sum()

    assert loss("mse") < 0.8 * loss("minmax")


def test_auto_keeps_the_method_with_the_least_error_and_tells_all(model, x):
    x[3, 0, 0, 0] = 9.0
    settings = CalibrationSettings(method="auto", activation_bits=4, outliers="keep")
    found = calibrate(model, x, settings, lower)
    assert found.errors.keys() == {"minmax", "percentile", "mse"}
    assert found.errors[found.method] == min(found.errors.values())
    assert {kept.source for kept in found.spec.activations.values()} == {found.method}
    with pytest.raises(errors.ConfigError, match="give lower"):
        calibrate(model, x, settings)


def test_ranges_that_hold_no_zero_or_nothing_else_can_be_lowered():
    net = Net()
    low = net.node("Sub", net.node("Sigmoid", "x"), net.constant(np.float32(5)))  # below 0
    none = net.node("Mul", low, net.constant(np.float32(0)))
    both = net.node("Concat", net.conv(low, 4, 4), net.conv(none, 4, 4), axis=1)
    model = read_float_model(net.model(net.conv(both, 8, 2)))
    samples = samples_for(model.proto)
    negative = ranges(model, samples, "minmax")["sub1_out"]
    assert negative.min >= -5 and negative.max <= -3.9
    found = calibrate(model, samples, CalibrationSettings(method="auto"), lower)
    assert found.errors.keys() == {"minmax", "percentile", "mse"}
    assert max(found.errors.values()) < 0.05


def test_equal_calls_calibrate_alike(model, x):
    assert attrs.asdict(calibrate(model, x)) == attrs.asdict(calibrate(model, x))


# Samples as a model takes them


def test_samples_of_whole_inputs_run_one_by_one():
    net = Net([4, 16])
    model = read_float_model(net.model(net.gemm("x", 16, 3)))
    whole = noise(10, 4, 16)  # ten inputs of four rows
    found = calibrate(model, whole).spec
    assert found.activations["x"].max == whole.max()
    assert found.samples == 10


def test_scalars_beside_tensors_are_fed_sample_by_sample():
    net = Net(["N", 16])
    net.inputs.append(helper.make_tensor_value_info("gain", TensorProto.FLOAT, []))
    model = read_float_model(net.model(net.gemm(net.node("Mul", "x", "gain"), 16, 3)))
    samples = {
        "x": noise(9, 5, 16),
        "gain": np.random.default_rng(0).uniform(1, 2, 9).astype(np.float32),
    }
    found = calibrate(model, samples).spec
    assert found.activations["gain"].max == samples["gain"].max()


def test_free_sides_take_samples_of_any_side():
    net = Net(["N", 3, "side", "side"])
    model = read_float_model(net.model(net.conv("x", 3, 2)))
    assert calibrate(model, noise(8, 3, 11, 11)).spec.samples == 8


@pytest.mark.parametrize("none", [np.zeros((0, 12), np.float32), {}, {"x": np.float32(3)}])
def test_no_samples_are_refused_whatever_is_asked_of_them(none):
    proto = IDIOMS["gemm"]()
    for ask in (
        lambda: as_samples(none, proto),
        lambda: as_samples(ArraySamples(inputs={"x": np.zeros((0, 12), np.float32)}), proto),
        lambda: calibrate(read_float_model(proto), none),
        lambda: macs_by_node(proto, none),
        lambda: compare(proto, proto, none),
    ):
        with pytest.raises(BadCalibration, match="no samples"):
            ask()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: np.repeat(x[:1], len(x), axis=0), "all 64 samples are equal"),
        (lambda x: np.full_like(x, 0.5), "all 64 samples are equal"),
        (lambda x: x.astype(np.float64), "given as float64"),
        (lambda x: x[..., :-1, :-1], "is given as"),
        (lambda x: x[:, :2], "is given as"),
        (lambda x: x[:, 0], "is given as"),
        (lambda x: {"y": x}, "no input 'y'.*call it 'x'"),
        (lambda x: {"x": x, "z": x[:7]}, "different numbers"),
        (lambda _: "samples.npz", "samples must be"),
    ],
)
def test_sets_that_do_not_fit_are_refused(model, x, change, said):
    with pytest.raises(BadCalibration, match=said):
        calibrate(model, change(x))


def test_one_class_is_refused_where_labels_tell(model, x):
    with pytest.raises(BadCalibration, match="all 64 samples are of class 3"):
        calibrate(model, ArraySamples(inputs={"x": x}, labels=np.full(64, 3)))
    several = ArraySamples(inputs={"x": x}, labels=np.arange(64) % 4)
    assert calibrate(model, several).spec.samples == 64


# Samples that would ruin a range


@pytest.mark.parametrize("at", [0, 17, 39])
def test_a_sample_that_defines_a_range_is_named(model, x, at):
    x[at] *= 50
    with pytest.raises(BadCalibration, match=rf"sample {at} alone makes the range of 'x' \d+"):
        calibrate(model, x)
    kept = calibrate(model, x, CalibrationSettings(outliers="keep"))
    assert f"sample {at} alone" in kept.notes[0]


def test_two_bad_samples_of_many_do_not_hide_each_other(model):
    samples = noise(200, 4, 8, 8)
    samples[[20, 120]] *= 30
    with pytest.raises(BadCalibration, match=r"sample (20|120) alone"):
        calibrate(model, samples)


@pytest.mark.parametrize("seed", range(5))
def test_plain_samples_are_not_called_poisoned(model, seed):
    found = calibrate(model, noise(40, 4, 8, 8, seed=seed))
    assert not any("alone" in note for note in found.notes)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("batch", ["N", 1])
def test_values_that_are_not_finite_are_named_by_sample(x, value, batch):
    x[18, 1, 2, 3] = value
    with pytest.raises(BadCalibration, match="sample 18 has NaN or infinity in input 'x'"):
        calibrate(read_float_model(IDIOMS["residual"](batch=batch)), x)


def test_a_tensor_that_becomes_infinite_inside_is_named(x):
    net = Net()
    model = read_float_model(net.model(net.conv(net.node("Log", "x"), 4, 8)))
    x = np.abs(x) + 0.1
    x[9, 0, 0, 0] = 0.0
    with pytest.raises(BadCalibration, match=r"'log0_out' becomes NaN or infinite for sample 9"):
        calibrate(model, x)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "best"},
        {"weights": "max"},
        {"weight_bits": 1},
        {"activation_bits": 9},
        {"weight_bits": 8.0},
        {"outliers": "drop"},
        {"held_out": 0.0},
        {"held_out": 1.0},
        {"held_out": "half"},
    ],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(errors.ConfigError):
        CalibrationSettings(**wrong)
