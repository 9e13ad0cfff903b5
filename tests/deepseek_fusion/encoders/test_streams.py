"""How a sequence is cut changes no token, whatever is masked; state is checked where it enters."""

import pytest
import torch
from fusion_streams import KINDS, in_chunks, sequence, small
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_fusion.protocol import Encoder, StreamEncoder

ENCODERS = {kind: small(kind) for kind in KINDS}
cuts = st.lists(st.integers(1, 9), min_size=1, max_size=6)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None)
@given(sizes=cuts, frames=st.integers(1, 40), seed=st.integers(0, 99))
def test_chunks_of_any_size_give_the_tokens_of_the_whole(kind, sizes, frames, seed):
    encoder = ENCODERS[kind]
    x = sequence(kind, 2, frames, seed)
    with torch.no_grad():
        whole = encoder.encode(x)
        tokens, state = in_chunks(encoder, x, sizes)
    assert (tokens - whole.tokens).abs().max() < 1e-5
    assert all((state[n] * 1.0 - s * 1.0).abs().max() < 1e-5 for n, s in whole.state.items())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=8, deadline=None)
@given(sizes=cuts, seed=st.integers(0, 99))
def test_chunks_give_the_tokens_of_the_whole_under_any_mask(kind, sizes, seed):
    encoder = ENCODERS[kind]
    x = sequence(kind, 3, 17, seed)
    mask = torch.rand(x.shape[:2], generator=torch.Generator().manual_seed(seed)) < 0.6
    mask[1] = False
    with torch.no_grad():
        whole = encoder.encode(x, mask).tokens
        tokens, _ = in_chunks(encoder, x, sizes, mask)
    assert (tokens - whole).abs().max() < 1e-5
    assert not whole[1].any()


@pytest.mark.parametrize("kind", KINDS)
def test_frame_by_frame_gives_the_tokens_of_a_long_sequence(kind):
    encoder, x = ENCODERS[kind], sequence(kind, 1, 400)
    with torch.no_grad():
        tokens, _ = in_chunks(encoder, x, [1])
        assert (tokens - encoder.encode(x).tokens).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_the_end_of_a_very_long_sequence_depends_on_its_last_steps_alone(kind):
    encoder, x = ENCODERS[kind], sequence(kind, 1, 20_000)
    depends_on = encoder.receptive if kind == "wavenet" else 2 * 5 + 1  # layers x memory, itself
    with torch.no_grad():
        last = encoder.encode(x).tokens[:, -1]
        alone = encoder.encode(x[:, -depends_on * encoder.frame :]).tokens[:, -1]
    assert (last - alone).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_padding_on_either_side_changes_nothing(kind):
    encoder, x = ENCODERS[kind], sequence(kind, 1, 12)
    with torch.no_grad():
        wanted, pad = encoder.encode(x).tokens, torch.zeros_like(x)
        there = torch.ones(x.shape[:2], dtype=torch.bool)
        for left in (True, False):
            parts = [(pad, ~there), (x, there)]
            rows, masks = zip(*(parts if left else parts[::-1]), strict=True)
            found = encoder.encode(torch.cat(rows, 1), torch.cat(masks, 1)).tokens
            kept = found[:, 12:] if left else found[:, :12]
            assert (kept - wanted).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_encoder_says_what_it_is(kind):
    assert isinstance(ENCODERS[kind], Encoder)
    assert isinstance(ENCODERS[kind], StreamEncoder)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_stay_within_a_chunk(kind):
    encoder = small(kind)
    first = encoder.encode(sequence(kind, 1, 4))
    assert not any(value.requires_grad for value in first.state.values())
    encoder.encode(sequence(kind, 1, 4, seed=1), None, first.state).tokens.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in encoder.parameters())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: {}, "lacks"),
        (lambda s: s | {"other_block0": torch.zeros(2, 1)}, "foreign other_block0"),
        (lambda s: {n: t[:1] for n, t in s.items()}, "a batch of 1, the input one of 2"),
        (lambda s: {n: t[:, :1] for n, t in s.items()}, "expected"),
        (lambda s: {n: t.double() for n, t in s.items()}, "given float64"),
        (list, "mapping of named tensors, got list"),
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_a_state_that_is_not_its_own_is_refused(kind, change, said):
    encoder, x = ENCODERS[kind], sequence(kind, 2, 3)
    state = dict(encoder.encode(x).state)
    with pytest.raises(errors.InputError, match=said):
        encoder.encode(x, None, change(state))


def test_a_state_of_another_model_is_refused_by_name():
    state = ENCODERS["wavenet"].encode(sequence("wavenet", 1, 2)).state
    with pytest.raises(errors.InputError, match="foreign wavenet_block0"):
        ENCODERS["ids"].encode(sequence("ids", 1, 2), None, state)
