"""The joint loss: InfoNCE and its supervised form as published, and what is missing left out."""

import math

import pytest

pytest.importorskip("torch")

import torch
from torch.nn import functional

from deepseek_core import errors
from deepseek_fusion.losses import (
    JointLoss,
    Temperature,
    info_nce,
    pairwise_contrast,
    single_loss,
    supervised_contrast,
)
from deepseek_fusion.model import Answer


def unit(*shape: int, seed: int = 0):
    """Draw unit vectors."""
    draw = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(*shape, generator=draw), dim=1)


def answer(present, seed: int = 0) -> Answer:
    """Draw an answer of two modalities and three classes."""
    draw = torch.Generator().manual_seed(seed)
    rows = len(present)
    single = tuple(torch.randn(rows, 3, generator=draw) for _ in range(2))
    vectors = tuple(unit(rows, 5, seed=seed + at) for at in range(2))
    return Answer(torch.randn(rows, 3, generator=draw), single, vectors, torch.tensor(present))


def test_infonce_is_that_of_clip_written_out() -> None:
    one, other, temperature = unit(4, 5), unit(4, 5, seed=1), torch.tensor(0.2)
    scores = (one @ other.T / temperature).tolist()
    rows = [-s[i] + math.log(sum(map(math.exp, s))) for i, s in enumerate(scores)]
    columns = [-scores[i][i] + math.log(sum(math.exp(row[i]) for row in scores)) for i in range(4)]
    wanted = (sum(rows) / 4 + sum(columns) / 4) / 2
    assert info_nce(one, other, temperature).item() == pytest.approx(wanted, abs=1e-5)
    assert info_nce(other, one, temperature).item() == pytest.approx(wanted, abs=1e-5)


def test_infonce_is_least_where_pairs_agree() -> None:
    one, temperature = torch.eye(4), torch.tensor(0.1)
    assert info_nce(one, one, temperature) < info_nce(one, one.roll(1, 0), temperature)


def test_supervised_contrast_is_equation_2_of_khosla_written_out() -> None:
    rows, classes, temperature = unit(5, 4), torch.tensor([0, 1, 0, 1, 0]), 0.3
    terms = []
    for i in range(5):
        others = [a for a in range(5) if a != i]
        score = {a: (rows[i] @ rows[a]).item() / temperature for a in others}
        whole = math.log(sum(math.exp(score[a]) for a in others))
        same = [a for a in others if classes[a] == classes[i]]
        terms.append(-sum(score[a] - whole for a in same) / len(same))
    got = supervised_contrast(rows, classes, torch.tensor(temperature))
    assert got.item() == pytest.approx(sum(terms) / 5, abs=1e-5)


def test_rows_of_a_class_of_their_own_are_left_out_and_give_a_finite_gradient() -> None:
    rows = unit(3, 4).requires_grad_()
    nothing = supervised_contrast(rows, torch.arange(3), torch.tensor(0.1))
    assert nothing.item() == 0
    supervised_contrast(rows, torch.tensor([0, 0, 1]), torch.tensor(0.1)).backward()
    assert torch.isfinite(rows.grad).all()
    assert info_nce(rows[:0], rows[:0], torch.tensor(0.1)).item() == 0


def test_single_heads_learn_from_the_rows_that_have_them_alone() -> None:
    told, classes = answer([[True, True], [True, False], [True, True]]), torch.tensor([0, 1, 2])
    wanted = functional.cross_entropy(told.single[0], classes)
    wanted = wanted + functional.cross_entropy(told.single[1][[0, 2]], classes[[0, 2]])
    assert torch.allclose(single_loss(told, classes), wanted)


def test_a_modality_that_nobody_has_gives_no_loss() -> None:
    told = answer([[True, False]] * 2)
    assert torch.isfinite(single_loss(told, torch.tensor([0, 1])))
    assert pairwise_contrast(told, torch.tensor(0.1)).item() == 0


def test_the_parts_add_up_by_their_weights() -> None:
    told, classes, t = answer([[True, True]] * 4), torch.tensor([0, 1, 0, 1]), torch.tensor(0.1)
    joined = functional.cross_entropy(told.logits, classes)
    contrast = supervised_contrast(torch.cat(told.vectors), classes.repeat(2), t)
    got = JointLoss(auxiliary=0.5, contrast=0.3).of(told, classes, t)
    assert torch.allclose(got, joined + 0.5 * single_loss(told, classes) + 0.3 * contrast)
    plain = JointLoss(auxiliary=0.0, contrast=0.0).of(told, classes, t)
    assert torch.allclose(plain, joined)
    pairs = JointLoss(auxiliary=0.0, contrast=1.0, sort="pairs").of(told, classes, t)
    assert torch.allclose(pairs, joined + info_nce(*told.vectors, t))


def test_the_temperature_is_learned_and_has_a_floor() -> None:
    temperature = Temperature(0.2)
    temperature().backward()
    assert temperature.log.grad is not None
    with torch.no_grad():
        temperature.log.fill_(-50.0)
    assert temperature().item() == pytest.approx(0.01)


@pytest.mark.parametrize("wrong", [{"sort": "class"}, {"auxiliary": -1.0}, {"contrast": -0.1}])
def test_weights_that_cannot_be_are_refused(wrong) -> None:
    with pytest.raises(errors.ConfigError):
        JointLoss(**wrong)
