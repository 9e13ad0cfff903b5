"""What can't be followed is refused by the name of the operation; the model is as it was."""

import pytest
import torch
from torch import nn

from deepseek_compress.errors import BudgetUnmet, CannotPrune
from deepseek_compress.prune.budget import PruneBudget
from deepseek_compress.prune.plan_budget import plan_budget
from deepseek_compress.prune.pruner import Pruner
from deepseek_compress.prune.score_units import score_units

X = (2, 3, 8, 8)


class Two(nn.Module):
    """Two convolutions; what lies between them is the case."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 4, 1)
        self.register_buffer("state", torch.zeros(16))

    def forward(self, x):
        return self.b(self.between(self.a(x)))


def case(between):
    return type(between.__name__, (Two,), {"between": between})()


def branch(self, y):
    return y * 2 if y.mean() > 0 else y


def as_number(self, y):
    return y * float(y.max())


def through_numpy(self, y):
    return torch.from_numpy(y.numpy() * 2)


def by_length(self, y):
    return y + y[y > 0].mean()


def as_list(self, y):
    return y * len(y[0, 0, 0].tolist())


def write_state(self, y):
    self.state.mul_(0.9).add_(y.mean((0, 2, 3)), alpha=0.1)
    return y


def copy_state(self, y):
    self.state[:] = y.mean((0, 2, 3))
    return y


def fails(self, y):
    return y + torch.zeros(7)


REFUSED = {
    branch: "_local_scalar_dense",
    as_number: "_local_scalar_dense",
    through_numpy: "numpy",
    by_length: "index",
    as_list: "tolist",
    write_state: "mul_",
    copy_state: "copy_",
    fails: "add",
}


@pytest.mark.parametrize("between", REFUSED, ids=lambda each: each.__name__)
def test_what_depends_on_data_or_writes_into_the_model_is_refused_by_name(between):
    model = case(between)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CannotPrune) as caught:
        Pruner(model, torch.randn(X))
    assert caught.value.operation in (REFUSED[between], "item", "__float__")
    assert "test_refusals.py" in str(caught.value)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def hard_view(self, y):
    return y.flatten(2).transpose(1, 2).reshape(-1, 16).view(2, 8, 8, 16).permute(0, 3, 1, 2)


def constant_of_a_size(self, y):
    return y + torch.zeros(1, 16, 1, 1)


def fixed_slices(self, y):
    return torch.cat([y[:, :4], y[:, 4:]], 1)


def table_prefix(self, y):
    return y + torch.arange(32.0)[: y.shape[1], None, None]


def sort_channels(self, y):
    return torch.sort(y, 1)[0]


def fourier(self, y):
    return torch.fft.irfft2(torch.fft.rfft2(y))


def mean_of_channels(self, y):
    return y * y.mean(1, keepdim=True)


def softmax_of_channels(self, y):
    return y.softmax(1)


def matrix_of_channels(self, y):
    flat = y.flatten(2)
    return (torch.softmax(flat @ flat.transpose(1, 2), -1) @ flat).view(y.shape)


def first_channels(self, y):
    return y * y[:, :8].sum(1, keepdim=True)


def sum_of_sigmoids(self, y):
    return y * torch.sigmoid(y).sum(1, keepdim=True)


def unbalanced_shuffle(self, y):
    return y.view(2, 4, 4, 8, 8).transpose(1, 2).reshape(2, 16, 8, 8)


KEPT = {
    hard_view: "view",
    constant_of_a_size: "add",
    fixed_slices: "slice",
    table_prefix: "add",
    sort_channels: "sort",
    fourier: "fft",
    mean_of_channels: "mean",
    softmax_of_channels: "softmax",
    matrix_of_channels: "bmm",
    first_channels: "sum",
    sum_of_sigmoids: "differs",
    unbalanced_shuffle: "view",
}


@pytest.mark.parametrize("between", KEPT, ids=lambda each: each.__name__)
def test_channels_that_meet_what_fits_one_size_stay_and_the_place_is_named(between):
    model = case(between)
    pruner = Pruner(model, torch.randn(X))
    reasons = {group.name: group.reason for group in pruner.structure.groups}
    assert KEPT[between] in reasons["a"]
    with pytest.raises(CannotPrune, match="has to stay") as caught:
        pruner.plan({"a": [0, 1]})
    assert caught.value.layer == "a"
    with pytest.raises(CannotPrune, match="nothing can be pruned"):
        plan_budget(pruner, score_units(pruner, "l1"), PruneBudget(params=2))


class PartlyFixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Conv2d(3, 16, 1), nn.Conv2d(16, 32, 1), nn.Linear(32, 3)

    def forward(self, x):
        return self.head(self.b(self.a(x).relu()).mean((2, 3)).view(-1, 32))


def test_the_rest_of_a_model_is_pruned_beside_a_hard_coded_view():
    pruner = Pruner(PartlyFixed(), torch.randn(X))
    reasons = {group.name: group.reason for group in pruner.structure.groups}
    assert reasons["a"] == "" and "view" in reasons["b"] and "test_refusals.py" in reasons["b"]
    assert pruner.apply(pruner.plan({"a": range(8)})).equivalence.relative <= 1e-5
    with pytest.raises(BudgetUnmet) as caught:
        plan_budget(
            pruner, score_units(pruner, "l1"), PruneBudget(params=10, round_to=1, min_channels=1)
        )
    assert "b has to stay" in caught.value.constraint and "view" in caught.value.constraint
    assert 1 < caught.value.closest["params"] < 10


def test_a_model_whose_results_are_random_is_refused():
    class Noisy(Two):
        def between(self, y):
            return y + torch.randn(y.shape[-1])

    pruner_of = Noisy()
    with pytest.raises(CannotPrune, match="another result each time"):
        Pruner(pruner_of, torch.randn(X))


def plain():
    return nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3)
    )


@pytest.mark.filterwarnings("ignore")
def test_compiled_and_scripted_models_are_refused():
    for model in (torch.jit.script(plain()), torch.compile(plain())):
        with pytest.raises(CannotPrune, match="no layers to shrink"):
            Pruner(model, torch.randn(X))


def test_layers_whose_weights_are_computed_stay():
    for wrap in (nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm):
        model = plain()
        wrap(model[2])
        reasons = {
            group.name: group.reason for group in Pruner(model, torch.randn(X)).structure.groups
        }
        assert "the weight is computed" in reasons["0"]


def test_wrong_inputs_and_wrong_names_are_refused():
    with pytest.raises(CannotPrune, match="convolution in 0"):
        Pruner(plain(), torch.randn(2, 5, 8, 8))
    with pytest.raises(CannotPrune, match="no layer is called 'zz'"):
        Pruner(plain(), torch.randn(X), protect=["zz"])
    pruner = Pruner(plain(), torch.randn(X))
    for remove in ({"zz": [0]}, {"0": [99]}, {"0": [1, 1]}, {"0": range(16)}, {"0": [-1]}):
        with pytest.raises(CannotPrune):
            pruner.plan(remove)
    other = Pruner(small(), torch.randn(X))
    with pytest.raises(CannotPrune, match="other layers"):
        other.apply(pruner.plan({"0": [0]}))


def small():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 2, 3))


def test_a_model_without_tensors_in_its_output_is_refused():
    class Nothing(Two):
        def forward(self, x):
            self.a(x)
            return "done"

    with pytest.raises(CannotPrune, match="holds no tensors"):
        Pruner(Nothing(), torch.randn(X))


def test_a_lazy_layer_that_never_ran_is_refused():
    with pytest.raises(CannotPrune, match=r"0.weight has no shape yet"):
        Pruner(nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 2)), torch.randn(2, 4))
