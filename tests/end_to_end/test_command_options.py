"""Options of the commands that take a model: each right, wrong, twice, empty and misspelt."""

import shlex
import subprocess
from importlib import import_module

import numpy as np
import pytest
from newcomer import COMMAND
from typed_commands import arrays, equal, floats, save

from deepseek_core.cli.main import COMMANDS
from deepseek_core.cli.parser import CommandParser

OF_MODELS = ("run", "plan", "explain", "calibrate", "bench")
QUICK = {"calibrate": ["--rounds", "1"], "bench": ["--rounds", "1", "--batches", "2"]}
RUN = ("run", "model.onnx", "--input", "data.npz", "--device", "cpu")
PERCEPTRON = """
    mlp (float[N, 4] x) => (float[N, 4] y) <float[4, 4] w = {
        1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3, 4, 5, 6, 7}> {
        m = MatMul(x, w)
        y = Relu(m)
    }
"""


@pytest.fixture
def desk(ds):
    ds.model(PERCEPTRON)
    save("data.npz", {"x": floats(7, 4)})
    return ds


def words_for(command):
    words = [command, "model.onnx", "--device", "cpu", *QUICK.get(command, [])]
    return words if command == "plan" else [*words, "--input", "data.npz"]


@pytest.mark.parametrize("command", OF_MODELS)
def test_json_is_one_object_on_stdout_and_nothing_else(command, desk):
    assert isinstance(desk.json(*words_for(command)), dict)


@pytest.mark.parametrize("command", OF_MODELS)
def test_an_example_of_the_help_has_options_that_the_command_takes(command):
    module = import_module(f"deepseek_core.cli.{COMMANDS[command][0]}")
    parser = CommandParser(prog=f"ds-sdk {command}")
    module.add_arguments(parser)
    examples = [line for line in module.EXAMPLES.splitlines() if line.startswith("  ds-sdk ")]
    assert len(examples) >= 2
    for line in examples:
        program, name, *words = shlex.split(line)
        assert (program, name) == ("ds-sdk", command)
        assert parser.parse_args(words).model == "model.onnx"


def named(option):
    """An option as errors name it, with its short form."""
    return {"--output": "-o/--output"}.get(option, option)


@pytest.mark.parametrize(
    "twice",
    [
        ["--batch", "4", "--batch", "8"],
        ["--latency", "offline", "--latency", "realtime"],
        ["--threads", "1", "--threads=1"],
        ["--deadline-ms", "5", "--deadline-ms", "6"],
        ["--output", "a.npz", "--output", "b.npz"],
        ["--trace", "a.json", "--trace", "a.json"],
        ["--html", "a.html", "--html", "b.html"],
        ["--size", "8x8", "--size", "4x4"],
    ],
    ids=lambda words: words[0],
)
def test_an_option_of_one_value_may_be_given_once(twice, desk):
    error, fix = desk.refuses(*RUN, *twice)
    assert (error, fix) == (f"argument {named(twice[0])}: given twice", "give it once")


@pytest.mark.parametrize(
    "option",
    [
        "--input", "--constant", "--batch-axis", "--select", "--set", "--pin", "--device",
        "--output", "--trace", "--html", "--batch", "--size",
    ],
)  # fmt: skip
def test_an_empty_value_is_refused_and_never_ignored(option, desk):
    error, fix = desk.refuses(*RUN, option, "")
    assert (error, fix) == (
        f"argument {named(option)}: must not be empty", "give it a value, or leave it out"
    )  # fmt: skip


def test_an_empty_path_is_not_the_current_folder(desk):
    assert desk.refuses("run", "model.onnx", "--input", "")[0].endswith("must not be empty")
    assert desk.refuses("plan", "")[0] == "argument MODEL: must not be empty"


@pytest.mark.parametrize(
    ("word", "meant"),
    [("--outpt", "--output"), ("--ouput=y.npz", "--output"), ("--bacth", "--batch"),
     ("--constants", "--constant"), ("--lattency", "--latency")],
)  # fmt: skip
def test_a_misspelt_option_is_told_with_the_one_that_was_meant(word, meant, desk):
    error, fix = desk.refuses(*RUN, word, "4")
    assert error.startswith(f"unrecognized arguments: {word}")
    assert fix.startswith(f"did you mean {meant}") and fix.endswith("ds-sdk run --help")


def test_an_option_like_no_other_gets_no_guess(desk):
    assert desk.refuses(*RUN, "--frobnicate")[1] == "ds-sdk run --help"
    assert desk.refuses("calibrate", "model.onnx", "--pin", "gemm=cpu")[1].startswith("ds-sdk cal")


def test_data_without_its_option_is_told_where_it_goes_and_the_remedy_works(desk):
    error, fix = desk.refuses("run", "model.onnx", "data.npz")
    assert error == "unrecognized arguments: data.npz"
    words = shlex.split(fix.removeprefix("data goes after --input: "))
    assert desk.json("run", "model.onnx", *words)["items"] == 7
    several = desk.refuses("run", "model.onnx", "--input", "a.npz", "b.npz", "c.npz")[1]
    assert several == "data goes after --input: --input FILE.npz or FOLDER"


@pytest.mark.parametrize("value", ["-y.npz", "--json", "--trace"])
def test_a_value_that_looks_like_an_option_goes_behind_an_equals_sign(value, desk):
    error, fix = desk.refuses(*RUN, "--output", value)
    assert error == "argument -o/--output: expected one argument"
    assert fix == "--output VALUE, or --output=VALUE if the value starts with -"
    desk.says(*RUN, f"--output={value}")
    equal(arrays(desk.folder / value), desk.reference({"x": floats(7, 4)}))


WHOLE, LONG = "a whole number of 1 or more", "milliseconds, more than 0"
BAD_VALUES = {
    "--batch": {"0": WHOLE, "-1": WHOLE, "1e3": WHOLE, "half": WHOLE, "1.5": WHOLE},
    "--threads": {"0": WHOLE, "two": WHOLE},
    "--deadline-ms": {"0": LONG, "-5": LONG, "5ms": LONG, "nan": LONG, "inf": LONG, "1e400": LONG},
    "--latency": {"soon": "invalid choice: 'soon'", "OFFLINE": "invalid choice: 'OFFLINE'"},
    "--pin": {
        "gemm": "--pin needs STAGE=DEVICE, got 'gemm'",
        "=cpu": "--pin needs STAGE=DEVICE, got '=cpu'",
        "gemm=": "--pin needs STAGE=DEVICE, got 'gemm='",
        "gone=cpu": "no stage of 'model' is called 'gone'",
        "gemm=gone": "no device is called 'gone'",
    },
    "--set": {
        "x": "--set needs PLUGIN.SETTING=VALUE, got 'x'",
        "x=1": "--set x: which plugin?",
        ".=1": "--set .: which plugin?",
        "cpu_onnx.=1": "--set cpu_onnx.: which plugin?",
        "cpu_onnx.gone=1": "there is no setting 'gone'",
        "gone.a=1": "settings are given for 'gone'",
        "cpu_onnx.graph_optimization=wild": "got 'wild'",
    },
    "--batch-axis": {
        "M": "no input has an axis 'M'",
        "None": "no input has an axis 'None'",
        "x=2": "x: float32 [N, 4] has no axis 2",
        "x=-1": "x: float32 [N, 4] has no axis -1",
        "z=0": "declared for 'z', which the model does not have",
        "w=0": "declared for 'w', which the model does not have",
    },
    "--select": {name: f"has no output {name!r}" for name in ("gone", "x", "w")},
    "--constant": {name: f"--constant {name}: --input gives no" for name in ("gone", "y")},
    "--device": {"gone": "no device is called 'gone'", "cpux": "no device is called 'cpux'"},
    "--layout": {"NHCW": "invalid choice: 'NHCW'", "NCHW": "--layout is for pictures"},
    "--input": {"gone.npz": "no such file or folder: gone.npz"},
}


@pytest.mark.parametrize(
    ("option", "value"), [(option, value) for option in BAD_VALUES for value in BAD_VALUES[option]]
)
def test_a_wrong_value_is_told_with_what_it_should_be(option, value, desk):
    error, fix = desk.refuses(*RUN, f"{option}={value}")
    assert BAD_VALUES[option][value] in error
    assert len(fix) > 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--pin", "gemm=cpu", "--pin", "gemm=onnx"], "--pin names 'gemm' twice"),
        (["--pin", "gemm=cpu", "--pin", "ge=onnx"], "stage 'gemm' is pinned twice"),
        (["--set", "null.a=1", "--set", "null.a=2"], "--set names 'null.a' twice"),
        (["--batch-axis", "x=0", "--batch-axis", "x=1"], "x=0, x=1: an input has one batch axis"),
        (["--batch-axis", "none", "--batch-axis", "N"], "none, N is no batch axis"),
        (["--resize", "crop"], "--resize is for pictures"),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_options_that_contradict_each_other_are_refused(words, told, desk):
    assert desk.refuses(*RUN, *words)[0].startswith(told)


def test_plan_refuses_options_for_pictures_without_pictures_too(desk):
    assert desk.refuses("plan", "model.onnx", "--resize", "crop") == (
        "--resize is for pictures", "give --input FOLDER, too"
    )  # fmt: skip


def test_a_stage_pinned_where_it_cant_run_is_told_where_it_can(desk):
    error, fix = desk.refuses(*RUN[:4], "--pin", "gemm=null", code=1)
    assert "null:0: runs deepseek.null::Sleep only" in error
    start, _, device = fix.partition(": ")
    assert start == "leave the pin out, or pin it to one that can"
    assert desk.json(*RUN[:4], "--pin", f"gemm={device}")["ran_on"] == {"gemm": [device]}


@pytest.mark.parametrize("command", ["explain", "bench"])
def test_pins_are_checked_before_anything_is_measured(command, desk):
    for pin, code in (("gone=cpu", 2), ("gemm=gone", 2), ("gemm=null", 1)):
        assert desk(command, "model.onnx", "--pin", pin) == code
        assert "calibrating" not in desk.err


def test_right_options_are_taken_and_change_what_they_say(desk):
    report = desk.json(
        *RUN, "--batch", "3", "--threads", "1", "--latency", "realtime", "--deadline-ms", "1e4",
        "--pin", "gemm=cpu", "--set", "cpu_onnx.graph_optimization=disabled", "--strict",
        "--no-calibrate", "--select", "m", "--batch-axis", "N",
    )  # fmt: skip
    plan = report["plan"]
    assert (report["items"], report["batches"], list(report["outputs"])) == (7, 3, ["m"])
    assert (plan["latency"], plan["deadline_s"], plan["meets_deadline"]) == ("realtime", 10, True)
    assert plan["batch_axis"]["source"] == "declared"


def test_the_text_of_a_run_says_how_much_how_fast_and_why_not_batched(desk):
    first, *rest = desk.says(*RUN, "--batch", "3").splitlines()
    assert first.startswith("7 items in ") and first.endswith(" items/s in 3 batches")
    assert not first.startswith("7 items in 0.0")
    assert not any("batch" in line for line in rest)
    first, second, *_ = desk.says(*RUN, "--batch-axis", "none").splitlines()
    assert first.startswith("1 call in ") and first.endswith(" calls/s")
    assert second == "  not batched: declared so"


def test_an_explained_run_prints_the_plan_too_and_json_has_it_anyway(desk):
    assert "\nstage gemm\n" in desk.says(*RUN, "--explain")
    assert desk.json(*RUN, "--explain")["plan"]["stages"][0]["name"] == "gemm"


def test_without_stderr_nothing_of_it_lands_on_stdout(desk):
    def closed(*words):
        shell = ["sh", "-c", 'exec "$@" 2>&-', "sh"]
        return subprocess.run([*shell, *COMMAND, *words], stdout=subprocess.PIPE, check=False)

    told = closed(*RUN, "--batch", "3")
    assert told.returncode == 0
    assert told.stdout.startswith(b"7 items in ")
    assert b"running" not in told.stdout
    told = closed(*RUN, "--batch", "0")
    assert (told.returncode, told.stdout) == (2, b"")


def test_more_outputs_than_fit_a_screen_are_counted(ds):
    names = [f"y{n}" for n in range(30)]
    nodes = " ".join(f"{name} = Identity(x)" for name in names)
    outputs = ", ".join(f"float[N] {name}" for name in names)
    ds.model(f"many (float[N] x) => ({outputs}) {{ {nodes} }}")
    save("data.npz", {"x": np.ones(3, np.float32)})
    lines = ds.says(*RUN).splitlines()
    assert sum(line.startswith("  output y") for line in lines) == 20
    assert lines[-1] == "  and 10 more (--json has all)"
    assert len(ds.json(*RUN)["outputs"]) == 30
