"""The fused model: any subset of modalities, what is missing, and how it trains."""

from itertools import combinations

import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from deepseek_core import errors
from deepseek_fusion.losses import JointLoss, single_loss
from deepseek_fusion.model import FusionModel, FusionShape
from deepseek_fusion.protocol import Tokens

NAMES = ("text", "picture", "sound")


class Plain(nn.Module):
    """Numbers (N, T, 5) as tokens."""

    width, state_specs = 16, ()

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 16)

    def encode(self, x, mask=None, state=None) -> Tokens:
        """Encode each step by itself."""
        there = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        return Tokens(self.layer(x), there, {})


def model(**shape) -> FusionModel:
    """Make a model of three modalities."""
    torch.manual_seed(0)
    return FusionModel({name: Plain() for name in NAMES}, FusionShape(classes=3, **shape))


def batch(rows: int = 6):
    """Draw inputs of all modalities."""
    draw = torch.Generator().manual_seed(1)
    lengths = zip(NAMES, (4, 7, 3), strict=True)
    return {name: torch.randn(rows, n, 5, generator=draw) for name, n in lengths}


@pytest.mark.parametrize("join", ["gate", "gate_over_late", "attention", "concatenation", "late"])
def test_any_subset_is_answered_as_if_the_rest_were_masked_out(join: str) -> None:
    made, inputs = model(join=join).eval(), batch()
    for size in (1, 2):
        for chosen in combinations(NAMES, size):
            left = made({name: inputs[name] for name in chosen})
            gone = {n: torch.zeros(inputs[n].shape[:2], dtype=torch.bool)
                    for n in NAMES if n not in chosen}  # fmt: skip
            masked = made(inputs, gone)
            assert torch.allclose(left.logits, masked.logits, atol=1e-6)
            assert torch.equal(left.present, masked.present)


def test_vectors_are_of_length_one_and_zero_where_the_modality_is_missing() -> None:
    answer = model().eval()({"text": batch()["text"]})
    lengths = [vector.norm(dim=1) for vector in answer.vectors]
    assert torch.allclose(lengths[0], torch.ones(6), atol=1e-5)
    assert torch.equal(lengths[1], torch.zeros(6))


def test_what_can_not_be_answered_is_named() -> None:
    made, inputs = model().eval(), batch()
    nothing = torch.zeros(6, 4, dtype=torch.bool)
    nothing[1:] = True
    with pytest.raises(errors.InputError, match="sample 0"):
        made({"text": inputs["text"]}, {"text": nothing})
    with pytest.raises(errors.InputError, match="no modality was given"):
        made({})
    with pytest.raises(errors.InputError, match="no modality 'smell'"):
        made({"smell": inputs["text"]})
    with pytest.raises(errors.InputError, match="a mask and no values"):
        made({"text": inputs["text"]}, {"sound": nothing})
    with pytest.raises(errors.TensorMismatch, match="different numbers of samples"):
        made({"text": inputs["text"], "sound": inputs["sound"][:2]})


def test_models_that_can_not_be_made_are_refused() -> None:
    with pytest.raises(errors.ConfigError, match="no modality"):
        FusionModel({}, FusionShape(classes=3))
    with pytest.raises(errors.ConfigError, match="1 classes"):
        FusionShape(classes=1)
    with pytest.raises(errors.ConfigError, match="modality_dropout"):
        FusionShape(classes=2, modality_dropout=1.0)
    with pytest.raises(errors.ConfigError, match=r"no torch\.nn\.Module"):
        FusionModel({"text": object()}, FusionShape(classes=2))


def test_modality_dropout_acts_in_training_alone() -> None:
    made, inputs = model(modality_dropout=0.5, dropout=0.0), batch()
    torch.manual_seed(3)
    assert not torch.equal(made(inputs).logits, made(inputs).logits)
    made.eval()
    assert torch.equal(made(inputs).logits, made(inputs).logits)


def test_single_losses_train_each_modality_as_it_would_be_trained_alone() -> None:
    classes = torch.arange(6) % 3
    together, alone = model(join="late", dropout=0.0), model(join="late", dropout=0.0)
    for made, inputs in ((together, batch()), (alone, {"text": batch()["text"]})):
        optimizer = torch.optim.AdamW(made.parameters(), 0.01)
        for _ in range(3):
            optimizer.zero_grad()
            single_loss(made(inputs), classes).backward()
            optimizer.step()
    theirs = alone.branches["text"].state_dict()
    for name, value in together.branches["text"].state_dict().items():
        assert torch.allclose(value, theirs[name], atol=1e-6), name


@pytest.mark.parametrize("sort", ["classes", "pairs"])
def test_a_model_learns_from_rows_with_gaps(sort: str) -> None:
    made, inputs, classes = (
        model(dropout=0.0, modality_dropout=0.2),
        batch(24),
        torch.arange(24) % 3,
    )
    for name in NAMES:
        inputs[name][:, :, 0] = classes[:, None].float()
    masks = {name: torch.rand(24, 1) < 0.7 for name in NAMES[1:]}
    masks = {name: mask.expand(inputs[name].shape[:2]) for name, mask in masks.items()}
    optimizer, weights = torch.optim.AdamW(made.parameters(), 0.01), JointLoss(sort=sort)
    for _ in range(60):
        optimizer.zero_grad()
        loss = weights.of(made(inputs, masks), classes, torch.tensor(0.1))
        assert torch.isfinite(loss)
        loss.backward()
        optimizer.step()
    assert (made.eval()(inputs, masks).logits.argmax(1) == classes).float().mean() > 0.9
