"""What the protocol of encoders promises holds for each of them."""

import copy

import numpy as np
import pytest
import torch

from deepseek_core import errors
from deepseek_fusion.encoders import (
    ResNeSt,
    ResNeStConfig,
    TransformerXL,
    TransformerXLConfig,
    WaveNet,
    WaveNetConfig,
)
from deepseek_fusion.protocol import Encoder
from deepseek_fusion.states import StateSpec, specs_by_name

torch.manual_seed(0)
ENCODERS = {
    "text": TransformerXL(TransformerXLConfig(vocabulary=30, width=8, memory=4)).eval(),
    "features": TransformerXL(TransformerXLConfig(features=3, width=8, memory=4)).eval(),
    "sound": WaveNet(WaveNetConfig(strides=(4,), residual=4, width=8, dilations=(1, 2))).eval(),
    "pictures": ResNeSt(
        ResNeStConfig(
            blocks=(1, 1), planes=(8, 16), stem=4, channels=1, width=8, small_pictures=True
        )
    ).eval(),
}
KINDS = tuple(ENCODERS)


def given(kind, rows=3):
    draw = torch.Generator().manual_seed(1)
    if kind == "text":
        return torch.randint(0, 30, (rows, 6), generator=draw)
    shape = {"features": (rows, 6, 3), "sound": (rows, 24, 1), "pictures": (rows, 1, 9, 7)}[kind]
    return torch.randn(shape, generator=draw)


def mask_for(kind, x, there):
    return torch.full(x.shape[: 1 if kind == "pictures" else 2], there)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def encoder(kind):
    return ENCODERS[kind]


def test_it_has_the_members_of_the_protocol(encoder):
    assert isinstance(encoder, Encoder)


def test_tokens_have_the_width_and_a_mask_of_them(kind, encoder):
    tokens, mask, state = encoder.encode(given(kind))
    assert tokens.shape == (*mask.shape, encoder.width)
    assert mask.dtype == torch.bool
    assert set(state) == {spec.name for spec in encoder.state_specs}


def test_all_there_is_the_same_as_no_mask(kind, encoder):
    x = given(kind)
    assert torch.equal(encoder.encode(x).tokens, encoder.encode(x, mask_for(kind, x, True)).tokens)


def test_a_row_with_nothing_there_gives_zeros_and_leaves_the_others(kind, encoder):
    x = given(kind)
    mask = mask_for(kind, x, True)
    mask[1] = False
    tokens, there, _ = encoder.encode(x, mask)
    assert not tokens[1].any()
    assert not there[1].any()
    wanted = encoder.encode(x).tokens
    assert torch.allclose(tokens[[0, 2]], wanted[[0, 2]], atol=1e-6)


def test_nothing_there_at_all_gives_zeros(kind, encoder):
    x = given(kind)
    tokens, there, _ = encoder.encode(x, mask_for(kind, x, False))
    assert not tokens.any()
    assert not there.any()


def test_what_is_masked_out_never_matters(kind, encoder):
    x = given(kind)
    mask = mask_for(kind, x, True)
    mask[2] = False
    other = x.clone()
    other[2] = -7 if kind == "text" else float("nan")
    assert torch.equal(encoder.encode(other, mask).tokens, encoder.encode(x, mask).tokens)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["features", "sound", "pictures"])
def test_what_is_not_finite_is_refused_by_its_row(kind, value):
    x = given(kind)
    x[1].view(-1)[0] = value
    with pytest.raises(errors.InputError, match="in 1 of 3 rows, first in row 1"):
        ENCODERS[kind].encode(x)


def test_no_rows_give_no_tokens(kind, encoder):
    tokens, mask, state = encoder.encode(given(kind, rows=0))
    assert tokens.shape == (0, encoder.encode(given(kind)).tokens.shape[1], encoder.width)
    assert mask.shape == tokens.shape[:2]
    assert all(value.shape[0] == 0 for value in state.values())


@pytest.mark.parametrize("kind", ["text", "features", "sound"])
def test_no_steps_give_no_tokens_and_leave_the_state(kind):
    encoder, x = ENCODERS[kind], given(kind)
    state = encoder.encode(x).state
    tokens, mask, after = encoder.encode(x[:, :0], None, state)
    assert tokens.shape == (3, 0, encoder.width)
    assert mask.shape == (3, 0)
    assert all(torch.equal(after[name], value) for name, value in state.items())


def test_one_row_is_what_it_is_among_others(kind, encoder):
    x = given(kind)
    assert torch.allclose(encoder.encode(x[1:2]).tokens, encoder.encode(x).tokens[1:2], atol=1e-6)


def test_a_strided_input_changes_nothing(kind, encoder):
    x = given(kind)
    strided = x.repeat_interleave(2, -1)[..., ::2]
    assert not strided.is_contiguous()
    assert torch.allclose(encoder.encode(strided).tokens, encoder.encode(x).tokens, atol=1e-6)


@pytest.mark.parametrize(
    "make", [torch.Tensor.float, lambda mask: mask[:, :1], lambda mask: mask[:2]]
)
def test_a_mask_of_another_kind_is_refused(kind, encoder, make):
    x = given(kind)
    mask = make(mask_for(kind, x, True).reshape(x.shape[0], -1))
    with pytest.raises(errors.TensorMismatch, match="mask must be bool of shape"):
        encoder.encode(x, mask)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_finite_tokens_near_those_of_float32(kind, encoder, dtype):
    x = given(kind)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
        tokens, _, state = encoder.encode(x)
        again = encoder.encode(x, None, state)
    wanted = encoder.encode(x).tokens
    assert (tokens.float() - wanted).abs().max() < 0.05 * max(1.0, wanted.abs().max())
    assert torch.isfinite(again.tokens).all()
    for spec in encoder.state_specs:
        assert str(again.state[spec.name].dtype) == f"torch.{spec.dtype}"


def test_float64_input_is_taken_as_the_weights_are(kind, encoder):
    x = given(kind)
    if x.is_floating_point():
        wanted = encoder.encode(x).tokens
        assert torch.allclose(encoder.encode(x.double()).tokens, wanted, atol=1e-6)


def test_training_reaches_every_weight(kind):
    encoder = ENCODERS[kind].train()
    try:
        encoder.zero_grad()
        x = given(kind)
        encoder.encode(x, mask_for(kind, x, True)).tokens.square().sum().backward()
        for name, p in encoder.named_parameters():
            assert p.grad is not None, name
            assert torch.isfinite(p.grad).all(), name
    finally:
        encoder.eval()


def test_gradients_are_finite_where_whole_rows_are_masked_out(kind):
    encoder, x = copy.deepcopy(ENCODERS[kind]).train(), given(kind)
    mask = mask_for(kind, x, True)
    mask[1] = False
    encoder.encode(x, mask).tokens.square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in encoder.parameters())


@pytest.mark.parametrize("x", [None, [[1, 2]], np.zeros((1, 4), np.float32)])
def test_what_is_no_tensor_is_refused_with_what_to_do(encoder, x):
    with pytest.raises(errors.TensorMismatch, match=r"must be a torch tensor.*from_numpy"):
        encoder.encode(x)


def test_a_mask_and_a_state_that_are_no_tensors_are_refused(kind, encoder):
    x = given(kind)
    with pytest.raises(errors.TensorMismatch, match="the mask must be a torch tensor"):
        encoder.encode(x, mask_for(kind, x, True).numpy())
    if encoder.state_specs:
        state = {spec.name: spec.begin(3) for spec in encoder.state_specs}
        with pytest.raises(errors.TensorMismatch, match=r"state .* must be a torch tensor"):
            encoder.encode(x, None, state)


def test_what_is_elsewhere_is_named(kind, encoder):
    x = given(kind)
    with pytest.raises(errors.TensorMismatch, match="the mask is on meta, the input on cpu"):
        encoder.encode(x, mask_for(kind, x, True).to("meta"))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_weights_of_half_precision_stream_with_a_state_of_float32(kind, dtype):
    encoder, x = copy.deepcopy(ENCODERS[kind]).to(dtype), given(kind)
    first = encoder.encode(x)
    second = encoder.encode(x, None, first.state)
    assert second.tokens.dtype == dtype
    assert torch.isfinite(second.tokens).all()
    assert all(t.dtype in (torch.float32, torch.bool) for t in second.state.values())


class TestStateSpec:
    """What may describe a state."""

    @pytest.mark.parametrize("name", ["", "a b", 3])
    def test_a_name_is_an_identifier(self, name):
        with pytest.raises(errors.ConfigError, match="identifier"):
            StateSpec(name=name, shape=(1,))

    @pytest.mark.parametrize("shape", [(-1,), ("batch",), (1.5,)])
    def test_a_shape_is_of_whole_numbers(self, shape):
        with pytest.raises(errors.ConfigError, match="whole numbers"):
            StateSpec(name="a", shape=shape)

    def test_two_of_one_name_are_refused(self):
        with pytest.raises(errors.ConfigError, match="'a'"):
            specs_by_name([StateSpec(name="a", shape=(1,)), StateSpec(name="a", shape=(2,))])

    def test_it_begins_as_it_says(self):
        begun = StateSpec(name="a", shape=(2, 3), dtype="float32", init=0.5).begin(4)
        assert begun.shape == (4, 2, 3)
        assert begun.dtype == "float32"
        assert (begun == 0.5).all()
