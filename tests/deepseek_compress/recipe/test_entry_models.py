"""Models as a user's entry gives them, and what a mistake there is answered with."""

import pytest
import torch

from deepseek_compress.recipe.models import load_model
from deepseek_core import compression, errors

SOURCE = """
import sys
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = torch.nn.Linear(4, 2)

    def forward(self, first, gap=None, last=None):
        return self.fc(first)

net = Net()

def make():
    return Net()

def parallel():
    return torch.nn.DataParallel(Net())

def compiled():
    return torch.compile(torch.nn.DataParallel(Net()))

def meta():
    return Net().to("meta")

def leaves():
    sys.exit("no data")

def weights():
    return Net().state_dict()

def filled(path):
    made = Net()
    made.load_state_dict(torch.load(path, weights_only=True))
    return made

def whole(path):
    return torch.load(path)
"""


@pytest.fixture
def load(tmp_path):
    (tmp_path / "attack_models.py").write_text(SOURCE)

    def load(name, **fields):
        fields = {"inputs": {"input": (1, 4)}, **fields}
        source = compression.ModelSource(entry=f"attack_models.py:{name}", **fields)
        return load_model(source, tmp_path)

    return load


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.compile's own
@pytest.mark.parametrize("name", ["make", "Net", "net", "parallel", "compiled"])
def test_the_module_itself_is_taken_however_it_is_wrapped(load, name):
    found = load(name)
    assert type(found.model).__name__ == "Net"
    assert list(found.inputs) == ["first"]
    assert not found.model.training


def test_inputs_come_in_the_order_of_the_arguments(load):
    inputs = {"last": (1, 3), "first": (1, 4)}
    assert list(load("make", inputs=inputs).inputs) == ["first", "last"]


@pytest.mark.parametrize(
    ("name", "fields", "remedy"),
    [
        ("meta", {}, "without device='meta'"),
        ("leaves", {}, "correct the function"),
        ("weights", {}, "net.load_state_dict(weights)"),
        ("filled", {"weights": "nope.pt"}, "check model.weights"),
        ("filled", {"weights": "parallel.pt"}, 'removeprefix("module.")'),
        ("whole", {"weights": "pickled.pt"}, "torch.save(net.state_dict(), path)"),
    ],
)
def test_a_mistake_is_told_with_what_to_do(load, tmp_path, name, fields, remedy):
    net = torch.nn.DataParallel(load("make").model)
    torch.save(net.state_dict(), tmp_path / "parallel.pt")
    torch.save(net, tmp_path / "pickled.pt")
    with pytest.raises(errors.DeepSeekError) as refused:
        load(name, **fields)
    assert remedy in refused.value.remedy
    assert "\x1b" not in str(refused.value)
