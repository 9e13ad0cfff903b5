"""The demo looks at its arguments before it works for minutes."""

import shlex

import onnx
import pytest

from deepseek_core.cli import demo_command
from deepseek_core.cli.parser import CommandParser


def relu():
    """A model of another purpose."""
    value = [onnx.helper.make_tensor_value_info(n, 1, ["batch", 4]) for n in ("x", "y")]
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "other", value[:1], value[1:])
    opsets = [onnx.helper.make_opsetid("", 19)]
    return onnx.helper.make_model(graph, opset_imports=opsets, ir_version=9)


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--pin", "match"], 2, "--pin needs STAGE=DEVICE, got 'match'"),
        (["--pin", "match=onnx", "--pin", "match=null"], 2, "--pin names a stage twice"),
        (["--pin", "match=onnx", "--pin", "matching=null"], 2, "'matching' is pinned twice"),
        (["--pin", "gone=cpu"], 2, "its stages are convolution, matching"),
        (["--pin", "match=gone"], 2, "no device is called 'gone'"),
        (["--pin", "match=null"], 1, "null:0: runs deepseek.null::Sleep only"),
        (["--batch", "0"], 2, "must be a whole number of 1 or more, got '0'"),
        (["--neighbors", "17"], 2, "must be 16 or less, got '17'"),
        (["--rounds", "1", "--rounds", "2"], 2, "argument --rounds: given twice"),
        (["--output", ""], 2, "argument --output: must not be empty"),
        (["--output", "taken"], 2, "--output taken: is no folder"),
        (["--model", "gone.onnx"], 2, "no such file: gone.onnx"),
        (["--model", "other.onnx"], 2, "--model other.onnx: it has no input 'images'"),
        (["--outptu", "x"], 2, "did you mean --output? ds-sdk demo --help"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_argument_is_told_at_once_and_nothing_is_made(words, code, told, ds):
    (ds.folder / "taken").write_text("a file")
    (ds.folder / "other.onnx").write_bytes(relu().SerializeToString())
    before = ds.names()
    assert ds("demo", *words) == code
    assert (ds.out, ds.names()) == ("", before)
    assert ds.err.startswith("error: ")  # progress would stand before it
    assert told in ds.err
    assert "\nfix: " in ds.err


def test_help_has_examples_that_the_demo_takes(ds):
    text = ds.says("demo", "--help")
    assert "--pin STAGE=DEVICE" in text and "examples:" in text
    parser = CommandParser(prog="ds-sdk demo")
    demo_command.add_arguments(parser)
    examples = [line for line in demo_command.EXAMPLES.splitlines() if line.startswith("  ds-sdk")]
    for line in examples:
        _, name, *words = shlex.split(line)
        assert name == "demo"
        parser.parse_args(words)
