"""Ways to join: what is missing or masked never matters, and the gate is as specified."""

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_fusion.join.attention import PairAttention
from deepseek_fusion.join.contract import Parts, masked_mean, valid_count
from deepseek_fusion.join.gate import PairGate
from deepseek_fusion.join.named import JOINS, make_join
from deepseek_fusion.join.shape import JoinShape

SHAPE = JoinShape(width=8, modalities=3, classes=4, heads=2, dropout=0.0)
LENGTHS = (3, 5, 2)


def parts(rows: int = 4, seed: int = 0) -> Parts:
    """Draw tokens, masks that are all true, and answers."""
    draw = torch.Generator().manual_seed(seed)
    tokens = [torch.randn(rows, n, SHAPE.width, generator=draw) for n in LENGTHS]
    masks = [torch.ones(rows, n, dtype=torch.bool) for n in LENGTHS]
    answers = [torch.randn(rows, SHAPE.classes, generator=draw) for _ in LENGTHS]
    return Parts(tokens, masks, answers)


@pytest.fixture(params=sorted(JOINS))
def join(request):
    """Each join, made with one seed."""
    torch.manual_seed(0)
    return make_join(request.param, SHAPE).eval()


def test_the_gate_is_the_formula_of_its_paper_token_by_token() -> None:
    torch.manual_seed(1)
    gate = PairGate(8, 2)
    f, g = torch.randn(1, 3, 8), torch.randn(1, 5, 8)
    mask = torch.tensor([[True, True, False, True, False]])
    got = gate(f, g, mask)
    wanted = torch.zeros(3, 8)
    for i in range(3):
        for j in (0, 1, 3):
            alpha = torch.sigmoid(
                gate.query.weight @ f[0, i] + gate.key.weight @ g[0, j] + gate.key.bias
            )
            wanted[i] += (alpha[:, None] * gate.value(g[0, j]).view(2, 4)).flatten() / 3
    assert torch.allclose(got[0], wanted, atol=1e-6)


def test_attention_equals_torchs_own_on_the_same_weights() -> None:
    torch.manual_seed(1)
    ours, theirs = PairAttention(8, 2), torch.nn.MultiheadAttention(8, 2, batch_first=True)
    layers = (ours.query, ours.key, ours.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([layer.weight for layer in layers]))
        theirs.in_proj_bias.copy_(torch.cat([layer.bias for layer in layers]))
        theirs.out_proj.weight.copy_(torch.eye(8))
        theirs.out_proj.bias.zero_()
    f, g = torch.randn(2, 3, 8), torch.randn(2, 5, 8)
    mask = torch.tensor([[True] * 5, [True, False, True, False, False]])
    wanted, _ = theirs(f, g, g, key_padding_mask=~mask)
    assert torch.allclose(ours(f, g, mask), wanted, atol=1e-6)


@settings(deadline=None, max_examples=20)
@given(copies=st.integers(1, 6))
def test_a_message_does_not_grow_with_the_number_of_tokens(copies: int) -> None:
    torch.manual_seed(2)
    gate = PairGate(8, 2)
    f, g = torch.randn(1, 3, 8), torch.randn(1, 4, 8)
    once = gate(f, g, torch.ones(1, 4, dtype=torch.bool))
    often = gate(f, g.repeat(1, copies, 1), torch.ones(1, 4 * copies, dtype=torch.bool))
    assert torch.allclose(once, often, atol=1e-5)


def test_what_is_masked_never_matters_not_even_nan(join) -> None:
    told = parts()
    told.masks[1][:, 3:] = False
    wanted = join(told)
    told.tokens[1][:, 3:] = float("nan")
    assert torch.equal(join(told), wanted)


def test_padding_changes_nothing(join) -> None:
    told = parts()
    wanted = join(told)
    padded = [torch.cat([one, torch.full((4, 6, 8), 9.0)], 1) for one in told.tokens]
    masks = [torch.cat([m, torch.zeros(4, 6, dtype=torch.bool)], 1) for m in told.masks]
    assert torch.allclose(join(Parts(padded, masks, told.answers)), wanted, atol=1e-6)


@pytest.mark.parametrize("missing", range(3))
def test_a_missing_modality_never_matters(join, missing: int) -> None:
    told = parts()
    told.masks[missing][:] = False
    wanted = join(told)
    told.tokens[missing].fill_(float("nan"))
    told.answers[missing].fill_(3.0)
    assert torch.equal(join(told), wanted)
    assert torch.isfinite(wanted).all()


def test_each_row_is_answered_by_itself(join) -> None:
    told = parts(rows=4)
    told.masks[0][2] = False
    alone = Parts(*([one[2:3] for one in values] for values in told))
    assert torch.allclose(join(told)[2:3], join(alone), atol=1e-6)


def test_every_modality_can_change_the_answer(join) -> None:
    wanted = join(parts())
    for at in range(3):
        told = parts()
        told.tokens[at].add_(1.0 + torch.arange(8.0))
        told.answers[at].add_(torch.arange(4.0))
        assert not torch.allclose(join(told), wanted, atol=1e-4)


def test_late_fusion_is_the_sum_of_log_probabilities_of_what_is_there() -> None:
    told = parts()
    told.masks[1][0] = False
    got = make_join("late", SHAPE)(told)
    first = told.answers[0][0].log_softmax(0) + told.answers[2][0].log_softmax(0)
    assert torch.allclose(got[0], first)
    assert torch.allclose(got[1], sum(answer[1].log_softmax(0) for answer in told.answers))


def test_one_modality_alone_can_be_joined() -> None:
    shape = JoinShape(width=8, modalities=1, classes=4)
    for name in JOINS:
        told = parts()
        alone = Parts(told.tokens[:1], told.masks[:1], told.answers[:1])
        assert make_join(name, shape)(alone).shape == (4, 4)


def test_a_gate_begins_half_open() -> None:
    gate = PairGate(8, 2)
    torch.nn.init.zeros_(gate.query.weight)
    torch.nn.init.zeros_(gate.key.weight)
    alpha = gate.alpha(torch.randn(1, 2, 8), torch.randn(1, 3, 8), torch.ones(1, 3).bool())
    assert torch.equal(alpha, torch.full((1, 2, 3, 2), 0.5))


def test_the_mean_of_nothing_is_zero() -> None:
    nothing = torch.zeros(2, 3, dtype=torch.bool)
    assert torch.equal(masked_mean(torch.full((2, 3, 4), float("inf")), nothing), torch.zeros(2, 4))
    assert torch.equal(valid_count(nothing), torch.ones(2, 1, dtype=torch.int64))


def test_a_wrong_name_is_told_the_nearest() -> None:
    with pytest.raises(errors.ConfigError, match="did you mean 'gate'"):
        make_join("gated", SHAPE)


@pytest.mark.parametrize(
    "wrong", [{"width": 9}, {"heads": 0}, {"modalities": 0}, {"dropout": 1.0}, {"classes": 0}]
)
def test_sizes_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(errors.ConfigError):
        JoinShape(**({"width": 8, "modalities": 2, "classes": 2, "heads": 4} | wrong))
