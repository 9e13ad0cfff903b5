"""`ds-sdk trt`: what it prints, for people and for scripts, and its exit codes."""

import json

import numpy as np
import pytest
from rtx_library import rtx
from trt_models import X, model, node, one, quantized

from deepseek_core import errors
from deepseek_trt.cli.main import COMMANDS, main


@pytest.fixture
def relu(tmp_path):
    path = tmp_path / "relu.onnx"
    path.write_bytes(one("Relu").SerializeToString())
    return str(path)


@pytest.fixture
def refused(tmp_path):
    path = tmp_path / "refused.onnx"
    path.write_bytes(quantized(np.int8(3)).SerializeToString())
    return str(path)


def build(relu, folder, *more):
    words = ["build", relu, "-o", str(folder / "out"), "--compute", "8.6", "--backend", "fake"]
    return main([*words, "--cache", str(folder / "cache"), "-q", *more])


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)])
def test_help_has_examples(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([*command, "--help"])
    assert not left.value.code
    assert (
        f"ds-sdk trt {' '.join(command)}".strip() in capsys.readouterr().out.split("examples:")[1]
    )


def test_without_words_it_lists_its_commands(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


def test_a_model_that_is_taken(relu, capsys):
    assert main(["check", relu]) == 0
    assert capsys.readouterr().out.endswith("relu.onnx is taken\n")


def test_a_model_that_is_refused_names_node_operator_and_remedy(refused, capsys):
    assert main(["check", refused]) == 1
    out = capsys.readouterr().out
    assert "error: quantize (QuantizeLinear): its zero point is 3; only 0 is taken" in out
    assert "fix: quantize symmetrically" in out
    assert out.endswith("is refused: 2 errors\n")


def test_json_has_all_of_a_problem(refused, capsys):
    assert main(["check", refused, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["accepted"]
    assert set(told["problems"][0]) == {
        "rule", "node", "operator", "what", "remedy", "level", "stage"
    }  # fmt: skip


def test_the_parser_is_asked_too(refused, capsys):
    rtx()
    assert main(["check", refused, "--backend", "tensorrt_rtx"]) == 1
    out = capsys.readouterr().out
    assert "the parser of tensorrt_rtx" in out
    assert "does not take the model" in out


def test_a_build_writes_engine_and_manifest(relu, tmp_path, capsys):
    assert build(relu, tmp_path, "--name", "net") == 0
    assert "NO ENGINE (simulated) built" in capsys.readouterr().out
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"net.engine", "net.engine.json"}
    assert build(relu, tmp_path, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["from_cache"]
    assert told["manifest"]["targets"] == ["8.6"]


def test_a_real_build_for_two_gpus(relu, tmp_path, capsys):
    rtx()
    words = ["build", relu, "-o", str(tmp_path), "--compute", "8.6,8.9", "--no-cache", "-q"]
    assert main([*words, "--backend", "tensorrt_rtx"]) == 0
    assert "engine built" in capsys.readouterr().out


def test_a_refused_model_is_not_built(refused, tmp_path):
    with pytest.raises(errors.CompileError, match=r"quantize .*zero point is 3") as told:
        build(refused, tmp_path)
    assert told.value.nodes == ("quantize", "dequantize")
    assert not (tmp_path / "out").exists()


def test_what_only_rules_refuse_is_built_when_forced_and_noted(tmp_path, capsys):
    path = tmp_path / "theirs.onnx"
    theirs = model([node("Relu", ["x"], ["y"], domain="acme")], X, domains=["acme"])
    path.write_bytes(theirs.SerializeToString())
    with pytest.raises(errors.CompileError, match="domains"):
        build(str(path), tmp_path)
    assert build(str(path), tmp_path, "--force") == 0
    assert "warning: node_of_y (acme.Relu)" in capsys.readouterr().out


def test_the_cache_is_listed_and_cleared(relu, tmp_path, capsys):
    cache = ["--cache", str(tmp_path / "cache")]
    assert main(["cache", "list", *cache]) == 0
    assert "no engines" in capsys.readouterr().out
    build(relu, tmp_path)
    capsys.readouterr()
    assert main(["cache", "list", "--json", *cache]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (len(told["engines"]), told["engines"][0]["flavor"]) == (1, "fake")
    assert main(["cache", "list", *cache]) == 0
    assert told["engines"][0]["key"][:12] in capsys.readouterr().out
    assert main(["cache", "clear", *cache]) == 0
    assert "1 engine removed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["bild"], "no command 'bild' -> did you mean 'build'?"),
        (["check"], "MODEL"),
        (["check", "M", "--profile", "x"], "no profile"),
        (["check", "M", "--profile", ""], "empty"),
        (["check", "M", "--compute", "86"], "not a compute capability"),
        (["check", "M", "--backend", "cuda"], "invalid choice"),
        (["check", "M", "--jsno"], "--json"),
        (["build", "M", "--compute", "8.6"], "--output"),
        (["build", "M", "-o", "o"], "--compute"),
        (["build", "M", "-o", "o", "--compute", "9.9", "--backend", "fake"], "does not build for"),
        (["build", "M", "-o", "o", "--compute", "8.6", "--name", "../up"], "not a name for a file"),
        (["build", "M", "-o", "o", "--compute", "8.6", "--workspace", "much"], "must be a size"),
        (["build", "M", "-o", "o", "--compute", "8.6", "--time-limit", "0"], "more than 0"),
        (["build", "M", "-o", "o", "--compute", "8.6", "--no-cache", "--cache", "c"], "exclude"),
        (["build", "M", "-o", "o", "--compute", "8.6", "--compute", "8.9"], "twice"),
        (["cache"], "list|clear"),
        (["cache", "drop"], "invalid choice"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments_end_in_a_sentence_with_a_remedy(words, told, relu, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((errors.ConfigError, errors.InputError)) as error:
        main([relu if word == "M" else word for word in words])
    assert told in str(error.value)
    assert error.value.remedy
    assert not (tmp_path / "o").exists()


def test_progress_goes_to_stderr(relu, tmp_path, capsys):
    words = ["build", relu, "-o", str(tmp_path), "--compute", "8.6", "--backend", "fake"]
    assert main([*words, "--no-cache", "--json"]) == 0
    json.loads(capsys.readouterr().out)
