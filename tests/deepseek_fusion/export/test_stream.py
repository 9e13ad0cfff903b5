"""A stream through an exported file gives what the encoder gives for the whole sequence."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from fusion_streams import sequence, small
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import Session, errors
from deepseek_fusion.export.layout import read_layout
from deepseek_fusion.export.running import onnx_runtime
from deepseek_fusion.export.stream import Stream, open_stream

KINDS = ("wavenet", "ids")


@pytest.fixture(scope="module", params=KINDS)
def case(request, exported):
    return request.param, exported(request.param)


def pushed(stream, x, sizes):
    """Push all of `x` in chunks of these sizes, over and over; then what waits."""
    found, at, turn = [], 0, 0
    while at < x.shape[1]:
        end = at + sizes[turn % len(sizes)]
        found.append(stream.push(x[:, at:end].numpy()).tokens)
        at, turn = end, turn + 1
    return np.concatenate(found, 1)


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 23), min_size=1, max_size=5),
    frames=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_chunks_of_any_size_give_the_tokens_of_the_whole(case, sizes, frames, seed):
    """Sizes are in samples, so that frames are cut too."""
    kind, given_ = case
    x = sequence(kind, 2, frames, seed)
    with torch.no_grad():
        wanted = given_.encoder.encode(x).tokens.numpy()
    found = pushed(open_stream(given_.path, rows=2), x, sizes)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-5


def test_a_stream_through_a_session_is_that_of_onnx_runtime(case, own_cache):
    kind, given_ = case
    x = sequence(kind, 3, 20)
    alone = pushed(open_stream(given_.path, rows=3), x, [1, 7, 2])
    with Session(devices=["cpu"], threads=1) as session:
        placed = pushed(open_stream(given_.path, rows=3, session=session), x, [1, 7, 2])
    assert np.array_equal(placed, alone)


def test_what_waits_is_given_at_the_end_with_the_rest_masked_out(exported):
    encoder = exported("wavenet").encoder
    stream = open_stream(exported("wavenet").path)
    x = sequence("wavenet", 1, 3)[:, :10]
    assert stream.push(x.numpy()).tokens.shape[1] == 2
    last = stream.finish()
    mask = torch.arange(12)[None] < 10
    padded = torch.nn.functional.pad(x, (0, 0, 0, 2))
    with torch.no_grad():
        wanted = encoder.encode(padded, mask).tokens[:, 2:].numpy()
    assert np.abs(last.tokens - wanted).max() < 1e-5
    assert last.mask.tolist() == [[True]]
    assert stream.finish().tokens.shape == (1, 0, 10)  # begun anew, nothing waits


def test_a_masked_chunk_is_as_in_the_encoder(case):
    kind, given_ = case
    x = sequence(kind, 2, 6)
    mask = torch.ones(x.shape[:2], dtype=torch.bool)
    mask[1, : x.shape[1] // 2] = False
    with torch.no_grad():
        wanted = given_.encoder.encode(x, mask)
    found = open_stream(given_.path, rows=2).push(x.numpy(), mask.numpy())
    assert np.abs(found.tokens - wanted.tokens.numpy()).max() < 1e-5
    assert np.array_equal(found.mask, wanted.mask.numpy())


def test_a_run_that_fails_leaves_the_stream_as_it_was(case):
    kind, given_ = case
    run, fails = onnx_runtime(given_.path), iter([False, True, False, False])

    def sometimes(feeds):
        if next(fails):
            raise errors.DeviceLost("gone", device_id="cpu")
        return run(feeds)

    stream, x = Stream(read_layout(given_.path), sometimes), sequence(kind, 1, 6).numpy()
    half = x.shape[1] // 2 - 1
    found = [stream.push(x[:, :half]).tokens]
    with pytest.raises(errors.DeviceLost):
        stream.push(x[:, half:])
    found.append(stream.push(x[:, half:]).tokens)
    wanted = open_stream(given_.path).push(x).tokens
    assert np.abs(np.concatenate(found, 1) - wanted).max() < 1e-5


def test_beginning_anew_forgets_all(case):
    kind, given_ = case
    stream, x = open_stream(given_.path), sequence(kind, 1, 5).numpy()
    first = stream.push(x).tokens
    stream.push(x[:, :1])
    stream.restart()
    assert np.array_equal(stream.push(x).tokens, first)


def test_what_a_stream_keeps_does_not_grow(case):
    kind, given_ = case
    stream, x = open_stream(given_.path), sequence(kind, 1, 50).numpy()
    kept = set()
    for at in range(0, x.shape[1], 3):
        stream.push(x[:, at : at + 3])
        kept.add(sum(value.nbytes for value in stream._state.values()))
    assert len(kept) == 1
    assert stream._rest.shape[1] < given_.encoder.frame


def test_nan_is_refused_and_the_stream_goes_on(exported):
    stream, x = open_stream(exported("wavenet").path), sequence("wavenet", 1, 2).numpy()
    wanted = open_stream(exported("wavenet").path).push(x).tokens
    bad = x.copy()
    bad[0, 3, 1] = np.nan
    with pytest.raises(errors.InputError, match="NaN or infinity"):
        stream.push(bad)
    assert np.array_equal(stream.push(x).tokens, wanted)


@pytest.mark.parametrize(
    "chunk",
    [
        np.zeros((1, 8, 2), np.float64),
        np.zeros((1, 8, 3), np.float32),
        np.zeros((8, 2), np.float32),
        np.zeros((2, 8, 2), np.float32),
    ],
)
def test_a_chunk_of_another_kind_is_refused(exported, chunk):
    with pytest.raises(errors.TensorMismatch):
        open_stream(exported("wavenet").path).push(chunk)


@pytest.mark.parametrize("mask", [np.ones((1, 7), dtype=bool), np.ones((1, 8))])
def test_a_mask_of_another_kind_is_refused(exported, mask):
    with pytest.raises(errors.TensorMismatch, match="bool mask"):
        open_stream(exported("wavenet").path).push(np.zeros((1, 8, 2), np.float32), mask)


@pytest.mark.parametrize("rows", [0, -1, 1.5])
def test_a_number_of_streams_is_one_or_more(exported, rows):
    with pytest.raises(errors.ConfigError, match="rows"):
        open_stream(exported("wavenet").path, rows=rows)


def test_an_encoder_without_state_does_not_stream(exported):
    with pytest.raises(errors.InputError, match="ResNeSt has no state"):
        open_stream(exported("pictures").path)


def test_a_file_that_onnx_runtime_refuses_is_named(exported, tmp_path):
    layout = read_layout(exported("ids").path)
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(errors.ArtifactError, match=r"can't load .*x\.onnx"):
        onnx_runtime(tmp_path / "x.onnx")
    assert layout.encoder == "TransformerXL"


def test_two_streams_side_by_side_do_not_mix(exported):
    x = sequence("ids", 2, 9)
    both = pushed(open_stream(exported("ids").path, rows=2), x, [2])
    for row in range(2):
        one = pushed(open_stream(exported("ids").path), x[row : row + 1], [3, 1])
        assert np.abs(one - both[row : row + 1]).max() < 1e-5
    assert small("ids").width == both.shape[2]


def test_a_stream_needs_no_torch(exported):
    code = (
        "import sys; from deepseek_fusion.export.stream import open_stream; "
        "open_stream(sys.argv[1]); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, exported("ids").path], check=True, timeout=60)


@pytest.mark.parametrize("ids", [[[0, 40]], [[-1, 3]]])
def test_ids_beyond_the_vocabulary_are_refused(exported, ids):
    stream, ids = open_stream(exported("ids").path), np.array(ids)
    with pytest.raises(errors.InputError, match="from 0 to 39"):
        stream.push(ids)
    assert stream.push(ids, (ids >= 0) & (ids < 40)).mask.sum() == 1


def test_a_chunk_of_no_steps_gives_no_frames(case):
    kind, given_ = case
    empty = sequence(kind, 1, 2)[:, :0].numpy()
    assert open_stream(given_.path).push(empty).tokens.shape == (1, 0, given_.encoder.width)


def test_a_stream_of_a_session_that_ended_says_so(exported, own_cache):
    with Session(devices=["cpu"], threads=1) as session:
        stream = open_stream(exported("ids").path, session=session)
        stream.push(sequence("ids", 1, 2).numpy())
    with pytest.raises(errors.DeviceClosed):
        stream.push(sequence("ids", 1, 2).numpy())


def test_streams_that_share_what_runs_them_do_not_mix(case):
    kind, given_ = case
    run, layout = onnx_runtime(given_.path), read_layout(given_.path)
    inputs = [sequence(kind, 1, 12, seed).numpy() for seed in (1, 2)]
    streams = [Stream(layout, run) for _ in inputs]
    found = [[], []]
    for at in range(0, inputs[0].shape[1], 5):
        for stream, x, parts in zip(streams, inputs, found, strict=True):
            parts.append(stream.push(x[:, at : at + 5]).tokens)
    for x, parts in zip(inputs, found, strict=True):
        wanted = Stream(layout, run).push(x).tokens
        assert np.abs(np.concatenate(parts, 1) - wanted).max() < 1e-5
