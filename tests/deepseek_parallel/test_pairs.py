"""What may be divided: only what is proven, whatever a module looks like."""

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from deepseek_parallel.strategies.batches import Given
from deepseek_parallel.strategies.pairs import divisions


class Pair(nn.Module):
    """An MLP that a divided one would equal, but for what lies between."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(8, 16), nn.Linear(16, 8)

    def between(self, x, given):
        return torch.relu(x)

    def forward(self, x):
        return self.b(self.between(self.a(x), x))


class HasAParameterBetween(Pair):
    """Whose gradient would be a part of itself on each rank."""

    def __init__(self):
        super().__init__()
        self.act = nn.PReLU()

    def between(self, x, given):
        return self.act(x)


class GoesAround(Pair):
    """The input reaches the second layer without the first."""

    def between(self, x, given):
        return torch.relu(x) * given.mean(-1, keepdim=True)


class Mixes(Pair):
    """Columns depend on each other."""

    def between(self, x, given):
        return torch.softmax(x, -1)


class Leaks(Pair):
    """What is between goes elsewhere too."""

    def forward(self, x):
        between = torch.relu(self.a(x))
        return self.b(between) + between.sum(-1, keepdim=True)


class UsesAWeightTwice(Pair):
    """Once without a call of its layer."""

    def forward(self, x):
        return super().forward(x) + functional.linear(x, self.a.weight[:8])


class RunsTwice(Pair):
    """Two calls of each."""

    def forward(self, x):
        return super().forward(super().forward(x))


class Heads(nn.Module):
    """Attention; `fixed` writes the number of heads down, so that a half has too few."""

    def __init__(self, fixed=False):
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(8, 8) for _ in range(4))
        self.heads = (2, 4) if fixed else (-1, 4)

    def forward(self, x):
        q, k, v = (
            part(x).unflatten(-1, self.heads).transpose(-2, -3) for part in (self.q, self.k, self.v)
        )
        mixed = functional.scaled_dot_product_attention(q, k, v)
        return self.o(mixed.transpose(-2, -3).flatten(-2))


class Gated(nn.Module):
    """Two layers into one."""

    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = nn.Linear(8, 16), nn.Linear(8, 16), nn.Linear(16, 8)

    def forward(self, x):
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class TiesWords(nn.Module):
    """The output layer is the embedding's weight, by a function."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 8)

    def forward(self, words):
        return self.words(words) @ self.words.weight.T


class Shifted(nn.Embedding):
    """Looks up another row than it is told."""

    def forward(self, words):
        return super().forward((words + 1) % 10)


@dataclasses.dataclass
class Answer:
    """What transformers' models give: no tuple, no mapping."""

    output: torch.Tensor
    penalty: torch.Tensor


class GivesItOut(Pair):
    """The loss takes what is between, too."""

    def forward(self, x):
        h = torch.relu(self.a(x))
        return Answer(self.b(h), h.square().mean())


class KeepsIt(Pair):
    """The loss reads what is between from the module."""

    def forward(self, x):
        h = torch.relu(self.a(x))
        self.penalties = [h.square().mean()]
        return self.b(h)


def found(model, x):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    division = divisions(model, Given(args=(x,), kwargs={}))
    assert all((value == before[name]).all() for name, value in model.state_dict().items())
    assert not any("forward" in vars(module) for module in model.modules())
    return division


X = torch.randn(3, 5, 8)
WORDS = torch.randint(0, 10, (3, 5))


@pytest.mark.parametrize(
    ("model", "how", "most"),
    [
        (Pair(), {"a": "column", "b": "row"}, 8),
        (Heads(), {"q": "column", "k": "column", "v": "column", "o": "row"}, 2),
        (Gated(), {"gate": "column", "up": "column", "down": "row"}, 8),
        (
            nn.Sequential(Pair(), Pair()),
            {"0.a": "column", "0.b": "row", "1.a": "column", "1.b": "row"},
            8,
        ),
        (
            nn.Sequential(nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 8)),
            {"0": "column", "2": "row"},
            2,
        ),
    ],
)
def test_pairs_are_found(model, how, most):
    division = found(model, X)
    assert dict(division.how) == how
    assert set(division.most.values()) == {most}
    assert not division.whole


@pytest.mark.parametrize(
    "kind",
    [
        HasAParameterBetween, GoesAround, Mixes, Leaks, UsesAWeightTwice, RunsTwice, GivesItOut,
        KeepsIt,
    ],
)  # fmt: skip
def test_what_only_looks_like_a_pair_stays_whole(kind):
    division = found(kind(), X)
    assert not division.how
    assert set(division.whole) == {"a", "b"}


def test_heads_that_are_written_down_stay_whole():
    assert not found(Heads(fixed=True), X).how


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (TiesWords(), "used without a call"),
        (nn.Sequential(Shifted(10, 8)), "may do more than look words up"),
        (nn.Sequential(nn.Embedding(10, 8, padding_idx=0)), "padding_idx"),
        (nn.Sequential(nn.Embedding(10, 8, sparse=True)), "sparse"),
    ],
)
def test_an_embedding_that_is_more_stays_whole(model, why):
    division = found(model, WORDS)
    assert not division.how
    assert why in next(iter(division.whole.values()))


def test_a_plain_embedding_is_divided_by_its_vocabulary():
    assert dict(found(nn.Sequential(nn.Embedding(10, 8)), WORDS).how) == {"0": "vocabulary"}
