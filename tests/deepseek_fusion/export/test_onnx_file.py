"""An exported encoder computes what the encoder computes, and says how it streams."""

import json
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from fusion_streams import sequence, small

from deepseek_core import errors
from deepseek_fusion.encoders import TransformerXL, TransformerXLConfig
from deepseek_fusion.export.files import write_whole
from deepseek_fusion.export.layout import StreamLayout, read_layout
from deepseek_fusion.export.onnx_file import export_encoder
from deepseek_fusion.export.running import onnx_runtime

KINDS = ("wavenet", "ids", "pictures")


@pytest.fixture(params=KINDS)
def case(request, exported):
    return exported(request.param)


def test_the_file_differs_by_rounding_alone(case):
    assert case.difference < 1e-5


def test_batch_and_steps_are_free(case):
    """One row and seven frames, where the example had other sizes; state as given, not zero."""
    encoder = case.encoder
    rows = case.example[:1] if not encoder.state_specs else None
    kind = "wavenet" if encoder.width == 10 and case.example.ndim == 3 else "ids"
    x = sequence(kind, 5, 7) if rows is None else torch.cat([rows] * 3)
    with torch.no_grad():
        state = encoder.encode(x).state
        wanted = encoder.encode(x, None, state)
    feeds = {"x": x.numpy(), "mask": np.ones(x.shape[: 2 if state else 1], dtype=bool)}
    found = onnx_runtime(case.path)(feeds | {name: t.numpy() for name, t in state.items()})
    assert np.abs(found["tokens"] - wanted.tokens.numpy()).max() < 1e-5
    for name, value in wanted.state.items():
        assert np.abs(found[f"{name}_next"] * 1.0 - value.numpy() * 1.0).max() < 1e-5


def test_names_and_metadata_tell_the_state(case):
    model = onnx.load(case.path)
    names = [spec.name for spec in case.encoder.state_specs]
    assert [i.name for i in model.graph.input] == ["x", "mask", *names]
    outputs = ["tokens", "tokens_mask", *(f"{name}_next" for name in names)]
    assert [o.name for o in model.graph.output] == outputs
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["deepseek.batch_axis"] == ",".join(f"{n}=0" for n in ["x", "mask", *names])
    states = json.loads(told["deepseek_fusion.stream"])["states"]
    for state, spec in zip(states, case.encoder.state_specs, strict=True):
        assert state["name"] == spec.name
        assert state["shape"] == ["batch", *spec.shape]
        assert state["init"] == 0.0


def test_what_was_written_is_read(case):
    layout = read_layout(case.path)
    assert layout.states == tuple(case.encoder.state_specs)
    assert layout.width == case.encoder.width
    assert StreamLayout.parse(layout.metadata()["deepseek_fusion.stream"]) == layout


def test_a_second_export_writes_the_same_network(exported, tmp_path):
    case = exported("pictures")
    export_encoder(case.encoder, case.example, tmp_path / "again.onnx")
    feeds = {"x": case.example.numpy(), "mask": np.ones(2, dtype=bool)}
    first, second = (onnx_runtime(p)(feeds) for p in (case.path, tmp_path / "again.onnx"))
    assert np.array_equal(first["tokens"], second["tokens"])


def test_a_folder_that_is_missing_is_named_before_time_is_spent(tmp_path):
    with pytest.raises(errors.WriteError, match="nowhere"):
        export_encoder(small("ids"), sequence("ids", 2, 3), tmp_path / "nowhere" / "x.onnx")


def test_a_file_that_does_not_fit_leaves_the_one_before(tmp_path):
    """With a limit on the size of files, as a full disk has it: in a process of its own."""
    path = tmp_path / "x.onnx"
    path.write_bytes(b"before")
    code = (
        "import resource, signal, sys; from pathlib import Path; "
        "from deepseek_fusion.export.files import write_whole; "
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "write_whole(Path(sys.argv[1]), bytes(5000))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert "WriteError" in ran.stderr
    assert "can't be written: File too large" in ran.stderr
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("x.onnx", b"before")]


def test_nothing_half_written_is_left(tmp_path):
    (tmp_path / "x.onnx").mkdir()
    with pytest.raises(errors.WriteError, match=r"x\.onnx can't be written"):
        write_whole(tmp_path / "x.onnx", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["x.onnx"]


class Restless(torch.nn.Module):
    """A stranger's encoder that gives something else each time."""

    width = 3
    state_specs = ()

    def encode(self, x, mask=None, state=None):
        from deepseek_fusion.protocol import Tokens

        tokens = torch.nn.functional.dropout(x, 0.5, training=True).unsqueeze(1)
        there = torch.ones(x.shape[0], dtype=torch.bool) if mask is None else mask
        return Tokens(tokens * there[:, None, None], there[:, None], {})


def test_an_encoder_that_the_file_does_not_equal_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="would differ from it by"):
        export_encoder(Restless(), torch.ones(4, 3), tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("encoder", [torch.nn.Linear(2, 2), object()])
def test_what_is_no_encoder_is_refused(tmp_path, encoder):
    with pytest.raises(errors.InputError, match="is not an encoder"):
        export_encoder(encoder, torch.zeros(2, 2), tmp_path / "x.onnx")


def test_weights_of_half_precision_are_refused(tmp_path):
    with pytest.raises(errors.InputError, match="float16; a file has float32"):
        export_encoder(small("ids").half(), sequence("ids", 2, 3), tmp_path / "x.onnx")


def test_weights_beyond_what_a_file_holds_are_refused(tmp_path):
    with torch.device("meta"):
        config = TransformerXLConfig(vocabulary=10, width=8192, inner=65536, memory=1)
        encoder = TransformerXL(config)
    with pytest.raises(errors.InputError, match="do not fit into one ONNX file"):
        export_encoder(encoder, sequence("ids", 2, 3), tmp_path / "x.onnx")


def test_an_empty_example_is_refused(tmp_path):
    with pytest.raises(errors.InputError, match="empty"):
        export_encoder(small("ids"), torch.zeros(2, 0, dtype=torch.int64), tmp_path / "x.onnx")


class TestReadLayout:
    """What a file may be that is asked how it streams."""

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(errors.ArtifactError, match=r"x\.onnx can't be read"):
            read_layout(tmp_path / "x.onnx")

    def test_a_file_that_is_no_model_is_refused(self, tmp_path):
        (tmp_path / "x.onnx").write_bytes(b"\xff\xff no model")
        with pytest.raises(errors.ArtifactError, match="is not an ONNX file"):
            read_layout(tmp_path / "x.onnx")

    def test_a_model_of_others_does_not_say(self, tmp_path):
        onnx.save(onnx.ModelProto(ir_version=8), tmp_path / "x.onnx")
        with pytest.raises(errors.ArtifactError, match="does not say how it streams"):
            read_layout(tmp_path / "x.onnx")

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ('"frame": 4', '"frame": 0'),
            ('"frame": 4', '"frame": true'),
            ('"float32", "init"', '"object", "init"'),
            ('"init": 0.0', '"init": NaN'),
            ('["batch", 6, 1]', '["batch", 6000000, 1000]'),
            ("wavenet_block1", "wavenet_block0"),
        ],
    )
    def test_metadata_that_were_damaged_are_refused(self, exported, old, new):
        text = read_layout(exported("wavenet").path).metadata()["deepseek_fusion.stream"]
        assert old in text
        with pytest.raises(errors.ArtifactError, match="do not describe a stream"):
            StreamLayout.parse(text.replace(old, new))

    def test_a_file_whose_states_were_renamed_is_refused(self, exported, tmp_path):
        model = onnx.load(exported("wavenet").path)
        model.graph.output[2].name = "renamed"
        onnx.save(model, tmp_path / "x.onnx")
        with pytest.raises(errors.ArtifactError, match="does not have what it says: renamed, wave"):
            read_layout(tmp_path / "x.onnx")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("no json", "do not describe a stream"),
            ("[]", "do not describe a stream"),
            ('{"version": 2}', "version 2"),
            ('{"version": 1, "states": [{}]}', "do not describe a stream"),
        ],
    )
    def test_metadata_that_describe_nothing_are_refused(self, text, said):
        with pytest.raises(errors.ArtifactError, match=said):
            StreamLayout.parse(text)
