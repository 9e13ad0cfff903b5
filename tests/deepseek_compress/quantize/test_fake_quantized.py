"""Fake-quantized modules compute as their lowered files do; the caller's module stays as it is."""

import functools

import numpy as np
import process
import pytest
import small_torch
import torch
from small_onnx import Net
from small_torch import KINDS, Depthwise, Residual, Twice, drawn, example, exported, pictures
from torch.overrides import _get_current_function_mode_stack

from deepseek_compress.lower.ort_sites import ort_sites
from deepseek_compress.lower.ort_x86 import lower_ort_x86
from deepseek_compress.lower.trt import lower_trt
from deepseek_compress.lower.trt_sites import trt_sites
from deepseek_compress.onnx_graph.reading import read_float_model
from deepseek_compress.onnx_graph.running import open_session
from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate
from deepseek_compress.quantize.calls import record
from deepseek_compress.quantize.fake_quantized import (
    PART,
    Placement,
    fake_quantized,
    learned_spec,
    plain,
)
from deepseek_compress.quantize.fold_norm import fold_norms, foldable
from deepseek_compress.quantize.naming import names_of
from deepseek_core import errors

ORT = Placement(sites=ort_sites, signed=False)
TRT = Placement(sites=trt_sites, signed=True)
LOWER = {id(ORT): lower_ort_x86, id(TRT): lower_trt}


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with process.one_thread():
        yield


def folded(kind):
    model = drawn(kind)
    return fold_norms(model, foldable(model, example()))


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A function that gives a kind's file, exported once."""

    @functools.cache
    def file(kind):
        return exported(folded(kind), tmp_path_factory.mktemp(kind.__name__))

    return file


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def made(request, files):
    """A folded module and its file."""
    return folded(request.param), files(request.param)


@pytest.fixture
def residual(files):
    return folded(Residual), files(Residual)


def spec_of(model, bits=8):
    settings = CalibrationSettings(weight_bits=bits, activation_bits=bits)
    return calibrate(model, pictures(64).inputs, settings).spec


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_folding_changes_neither_results_nor_the_caller(kind):
    model, x = drawn(kind), torch.from_numpy(pictures(16).inputs["x"])
    before = {name: t.clone() for name, t in model.state_dict().items()}
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(folded(kind)(x), expected, rtol=1e-4, atol=1e-5)
        fold_norms(model, foldable(model, example()))
    assert all(torch.equal(t, before[name]) for name, t in model.state_dict().items())


@pytest.mark.parametrize(
    ("kind", "left"), [("Residual", 0), ("Depthwise", 1), ("Twice", 2), ("Transposed", 0)]
)
def test_what_can_be_folded_is(kind, left):
    module = folded(getattr(small_torch, kind))
    norms = [p for p in module.modules() if isinstance(p, torch.nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == left


def test_every_place_of_the_runtime_is_found_in_the_module(made):
    module, model = made
    names = names_of(module, model, example(), record(module, example()))
    sites = ort_sites(model, spec_of(model))
    wanted = set(sites.activations) - set(sites.ranges_of)
    assert wanted <= set(names.activations)


@pytest.mark.parametrize("placement", [ORT, TRT], ids=["ort_x86", "trt"])
@pytest.mark.parametrize("bits", [3, 8])
def test_module_and_file_agree(made, placement, bits):
    """But for what exporters fold and the module can't: a layer with two normalizations."""
    module_before, model = made
    if isinstance(module_before, Twice):
        pytest.skip("its weights are two in the file, and one in the module")
    spec, x = spec_of(model, bits), pictures(256, seed=5).inputs["x"]
    module = fake_quantized(module_before, example(), model, spec, placement).eval()
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    file = LOWER[id(placement)](model, spec).proto
    found = open_session(file, level="NONE").run(None, {"x": x})[0]
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.99
    off = np.abs(found - expected) / np.abs(expected).max()
    # A value in the middle of two integers may be rounded to either; int32 biases round too.
    assert np.quantile(off, 0.9) < 1e-4


def test_the_caller_keeps_a_plain_module(residual):
    module_before, model = residual
    before = {name: t.clone() for name, t in module_before.state_dict().items()}
    module = fake_quantized(module_before, example(), model, spec_of(model), ORT)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module.train()(example()["x"]).square().sum().backward()
    optimizer.step()
    assert not hasattr(module_before, PART)
    assert all(torch.equal(t, before[name]) for name, t in module_before.state_dict().items())
    assert module_before.state_dict().keys() == plain(module).state_dict().keys()
    assert not torch.equal(plain(module).head.weight, module_before.head.weight)


def test_every_quantizer_learns(residual):
    module_before, model = residual
    module = fake_quantized(module_before, example(), model, spec_of(model, 3), ORT).train()
    x = torch.from_numpy(pictures(32).inputs["x"])
    module(x).square().sum().backward()
    moved = {n: p.grad for n, p in module.named_parameters() if n.endswith(".moved")}
    assert len(moved) > 8
    assert all(grad is not None and grad.abs().sum() > 0 for grad in moved.values())


def test_what_was_learned_lands_at_the_names_of_the_new_file(residual, tmp_path):
    module_before, model = residual
    module = fake_quantized(module_before, example(), model, spec_of(model, 4), ORT)
    with torch.no_grad():
        for number, part in enumerate(module.get_submodule(PART).children()):
            for quantizer in part:
                quantizer.moved += quantizer.start * 0.1 * (number + 1)
        for name, parameter in module.named_parameters():
            if PART not in name:
                parameter.mul_(0.9)
    finished = exported(plain(module), tmp_path)
    spec = learned_spec(module, example(), finished, spec_of(finished, 4))
    sites = ort_sites(finished, spec)
    learned = {sites.range_name(name) for name in sites.activations}
    assert {spec.activations[name].source for name in learned} == {"learned"}
    assert {spec.weights[name].source for name in sites.weights} == {"learned"}
    x = pictures(256, seed=5).inputs["x"]
    with torch.no_grad():
        expected = module.eval()(torch.from_numpy(x)).numpy()
    found = open_session(lower_ort_x86(finished, spec).proto, level="NONE").run(None, {"x": x})[0]
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.99


def test_normalizations_that_stay_keep_their_statistics(files):
    module_before, model = folded(Depthwise), files(Depthwise)
    module = fake_quantized(module_before, example(), model, spec_of(model), ORT)
    before = module.norm.running_mean.clone()
    module.train()(torch.from_numpy(pictures(32).inputs["x"]))
    assert torch.equal(module.norm.running_mean, before)


def test_a_copy_is_quantized_by_quantizers_of_its_own(residual):
    module_before, model = residual
    module = fake_quantized(module_before, example(), model, spec_of(model, 3), ORT).eval()
    copy = plain_copy(module)
    x = example()["x"]
    with torch.no_grad():
        assert torch.equal(copy(x), module(x))
        copy.get_submodule(PART).weights[0].moved += 1.0
        assert not torch.equal(copy(x), module(x))


def plain_copy(module):
    import copy

    return copy.deepcopy(module)


def test_an_error_in_the_module_leaves_nothing_behind(residual):
    module_before, model = residual
    module = fake_quantized(module_before, example(), model, spec_of(model), ORT)
    for _ in range(2):
        with pytest.raises(RuntimeError):
            module(torch.zeros(1, 5, 8, 8))
    assert not _get_current_function_mode_stack()
    module(example()["x"])
    assert not _get_current_function_mode_stack()


class OtherInTraining(Residual):
    def forward(self, x):
        if self.training:
            x = torch.clamp(x, -1, 1)
        return super().forward(x)


def test_a_module_that_computes_otherwise_in_training_is_refused(files):
    module_before, model = folded(OtherInTraining), files(Residual)
    module = fake_quantized(module_before, example(), model, spec_of(model), ORT)
    module.eval()(example()["x"])
    with pytest.raises(errors.InputError, match="otherwise in training"):
        module.train()(example()["x"])


@pytest.mark.filterwarnings("ignore::FutureWarning")  # torch's own, when a program is copied
def test_an_exported_program_is_trained_as_well(files):
    x = example(4)["x"]
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(drawn(Residual), (x,), dynamic_shapes={"x": {0: batch}})
    module_before, model = fold_norms(program.module(), ()), files(Residual)
    module = fake_quantized(module_before, {"x": x}, model, spec_of(model, 4), ORT)
    module(x).square().sum().backward()
    moved = [p.grad for n, p in module.named_parameters() if n.endswith(".moved")]
    assert sum(grad is not None and bool(grad.abs().sum() > 0) for grad in moved) > 5


def test_a_module_without_layers_is_refused():
    module = torch.nn.Sequential(torch.nn.ReLU()).eval()
    net = Net(("batch", 1, 8, 8))
    model = read_float_model(net.model(net.relu("x")))
    with pytest.raises(errors.InputError, match="no layer"):
        fake_quantized(module, example(), model, spec_of(model), ORT)
