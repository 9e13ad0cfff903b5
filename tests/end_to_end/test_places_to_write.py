"""Results, traces and pages: whole or absent, on full disks and in odd places."""

import contextlib
import json
import os
import resource
import subprocess
from pathlib import Path

import pytest
from newcomer import COMMAND
from typed_commands import arrays, equal, floats, save

RUN = ("run", "model.onnx", "--input", "data.npz", "--device", "cpu", "--no-calibrate")
OUTPUTS = ("--output", "--trace", "--html")
ROWS, WIDTH = 1000, 64
LIMIT = 50_000  # bytes: more than the history of costs takes, less than a result of this size


@pytest.fixture
def desk(ds):
    ds.model("negative (float[N, 64] x) => (float[N, 64] y) { y = Neg(x) }")
    save("data.npz", {"x": floats(ROWS, WIDTH)})
    ds.says(*RUN)  # the cache is there, small as it is
    return ds


@contextlib.contextmanager
def files_of_at_most(nbytes):
    """A disk on which no file grows beyond this."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (nbytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_result_that_does_not_fit_is_an_error_and_leaves_nothing(desk):
    with files_of_at_most(LIMIT):
        error, fix = desk.refuses(*RUN, "--output", "y.npz", code=1)
    assert error == "y.npz can't be written: File too large"
    assert fix == "free space there, or choose another place"


def test_an_older_result_is_kept_when_the_new_one_does_not_fit(desk):
    Path("y.npz").write_text("older")
    with files_of_at_most(LIMIT):
        desk.refuses(*RUN, "--output", "y.npz", code=1)
    assert Path("y.npz").read_text() == "older"


@pytest.mark.parametrize("option", ["--trace", "--html"])
def test_the_result_and_the_report_are_kept_when_a_page_does_not_fit(option, desk):
    before = desk.names()
    words = (*RUN, "--batch", "1", "--output", "y.npz", "--select", "m", option, "page")
    desk.model("""
        two (float[N, 64] x) => (float[N, 64] y, float[N] m) <int64[1] last = {1}> {
            y = Neg(x)
            m = ReduceSum<keepdims = 0>(x, last)
        }
    """)
    with files_of_at_most(LIMIT):
        assert desk(*words) == 1
    assert desk.out.startswith("1,000 items in ")
    assert desk.err.endswith(
        "error: page can't be written: File too large\n"
        "fix: free space there, or choose another place\n"
    )
    equal(arrays("y.npz"), {"m": floats(ROWS, WIDTH).sum(1)})
    assert desk.names() == sorted([*before, "y.npz"])


@pytest.mark.parametrize("option", OUTPUTS)
def test_a_place_that_is_none_is_refused_before_the_work(option, desk):
    Path("folder").mkdir()
    for place, told in (
        ("folder", "folder is a folder"), ("gone/y", "the folder of gone/y does not exist"),
        ("data.npz/y", "the folder of data.npz/y does not exist"),
        ("n" * 300, f"{'n' * 300}: File name too long"),
    ):  # fmt: skip
        assert desk.refuses(*RUN, option, place)[0] == told


@pytest.mark.parametrize("option", OUTPUTS)
def test_what_the_command_reads_is_never_overwritten(option, desk):
    Path("alias.npz").symlink_to("data.npz")
    for place in ("data.npz", "./model.onnx", "alias.npz"):
        error, fix = desk.refuses(*RUN, option, place)
        assert error == f"{place} would overwrite what this command reads"
        assert fix == "choose another file"
    assert desk.json(*RUN)["items"] == ROWS


def test_two_options_never_write_one_file(desk):
    error, _ = desk.refuses(*RUN, "--output", "y", "--trace", "./y")
    assert error == "./y is to be written by two options"


def test_a_link_stays_a_link_and_its_file_is_replaced(desk):
    Path("kept").mkdir()
    Path("y.npz").symlink_to("kept/y.npz")
    desk.says(*RUN, "--output", "y.npz")
    assert Path("y.npz").is_symlink()
    equal(arrays("kept/y.npz"), {"y": -floats(ROWS, WIDTH)})
    assert [path.name for path in Path("kept").iterdir()] == ["y.npz"]


def test_the_longest_names_that_a_disk_takes_can_be_written(desk):
    for name in ("n" * 251 + ".npz", "\N{SNOWMAN}" * 83 + ".npz"):
        desk.says(*RUN, "--output", name)
        equal(arrays(name), {"y": -floats(ROWS, WIDTH)})


def test_all_three_are_written_and_nothing_else(desk):
    before = desk.names()
    desk.says(*RUN, "--output", "y.npz", "--trace", "t.json", "--html", "p.html")
    assert desk.names() == sorted([*before, "y.npz", "t.json", "p.html"])
    assert json.loads(Path("t.json").read_text())["traceEvents"]


def test_a_full_stdout_is_a_sentence(desk):
    if not Path("/dev/full").is_char_device():
        pytest.skip("no /dev/full")
    with Path("/dev/full").open("wb") as full:
        process = subprocess.run(
            [*COMMAND, *RUN, "--json"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert process.returncode == 1
    assert process.stderr.startswith("error: No space left on device\nfix: ")


@pytest.mark.parametrize("words", [["plan", "model.onnx", "--json"], ["run", "--help"]])
def test_a_reader_that_leaves_is_no_error(words, desk):
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as pipe:
        process = subprocess.run(
            [*COMMAND, *words], stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert process.stderr == ""
    assert process.returncode in (0, 141)


def test_more_memory_than_there_is_is_a_sentence(desk):
    desk.model("free (float[N, T] x) => (float[N, T] y) { y = Neg(x) }")
    words = ("explain", "model.onnx", "--shape", f"T={10**14}")
    error, fix = desk.refuses(*words, code=1)
    assert error.startswith("there is not enough memory: ")
    assert "--batch" in fix
