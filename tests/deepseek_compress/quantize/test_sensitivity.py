"""Which layer loses most, and which to leave in float."""

import numpy as np
import pytest
from small_onnx import Net, noise

from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import compare
from deepseek_compress.quantize.calibrating import calibrate
from deepseek_compress.quantize.sensitivity import mixed, sensitivity
from deepseek_core import errors

SAMPLES = noise(48, 4, 8, 8)


def lower(model, spec, *, skip=()):
    return lower_ort_x86(model, spec, skip=skip).proto


@pytest.fixture(scope="module")
def fragile():
    """A net whose second layer reads one channel that is a thousand times larger."""
    rng = np.random.default_rng(0)
    wide = rng.normal(size=(8, 4, 3, 3)).astype(np.float32)
    wide[0] *= 1000
    narrow = rng.normal(size=(8, 8, 3, 3)).astype(np.float32)
    narrow[:, 0] /= 1000
    net = Net()
    first = net.node("Relu", net.conv("x", 4, 8, weight=net.constant(wide), name="first"))
    second = net.node("Relu", net.conv(first, 8, 8, weight=net.constant(narrow), name="second"))
    third = net.node("Relu", net.conv(second, 8, 8, name="third"))
    model = read_float_model(net.model(net.conv(third, 8, 2, name="last")))
    return model, calibrate(model, SAMPLES).spec


def test_the_fragile_layer_comes_first(fragile):
    ranked = sensitivity(*fragile, SAMPLES[:16], lower)
    assert len(ranked.layers) == 4
    assert {layer.name for layer in ranked.layers[:2]} == {"first", "second"}
    errors_found = [layer.error for layer in ranked.layers]
    assert errors_found == sorted(errors_found, reverse=True)
    assert errors_found[0] > 10 * errors_found[-1]


def test_as_few_layers_as_the_budget_needs_stay_float(fragile):
    model, spec = fragile
    asked = []

    def metric(proto):
        asked.append(proto)
        return 1 - compare(model.proto, proto, SAMPLES[:16]).relative_error

    ranked = sensitivity(model, spec, SAMPLES[:16], lower)
    found = mixed(model, spec, ranked, lower=lower, metric=metric, max_drop=0.02)
    assert 0 < len(found.left_in_float) < 4
    assert found.metric_float - found.metric <= 0.02 < found.metric_float - found.metric_quantized
    fewer = lower(model, spec, skip=found.left_in_float[:-1])
    assert found.metric_float - metric(fewer) > 0.02
    generous = mixed(model, spec, ranked, lower=lower, metric=metric, max_drop=100)
    assert generous.left_in_float == ()
    with pytest.raises(errors.ConfigError, match="max_drop"):
        mixed(model, spec, ranked, lower=lower, metric=metric, max_drop=float("nan"))


def test_drops_of_a_metric_rank_before_errors(fragile):
    model, spec = fragile
    weight = next(n.input[1] for n in model.proto.graph.node if n.name == "third")

    def metric(proto):
        quantized = f"{weight}__integer" in {t.name for t in proto.graph.initializer}
        return 0.5 if quantized else 1.0

    ranked = sensitivity(model, spec, SAMPLES[:16], lower, metric)
    assert [layer.drop for layer in ranked.layers] == [0.5, 0, 0, 0]
    first, *others = ranked.layers
    assert first.name == "third"
    assert first.error < others[0].error
    assert [layer.error for layer in others] == sorted((la.error for la in others), reverse=True)
