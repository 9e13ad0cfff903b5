"""Text of strangers commands no terminal: what can't be seen is shown escaped, everywhere."""

import os
import subprocess
import sys

import numpy as np
import onnx
import plugin_zoo as zoo
import pytest
from onnx import TensorProto, helper

from deepseek_core import console

# ESC with a color, a line end, OSC 8 (a link) with its BEL, a mark of direction, one of no width.
NASTY = "a\x1b[31mb\nfake\x1b]8;;http://x\x07c\u202ed\u200be"
RAW = ("\x1b", "\x07", "\nfake", "\u202e", "\u200b")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, auch auf Deutsch: äöü, 中文, 😀", "plain, auch auf Deutsch: äöü, 中文, 😀"),
        ("one\xa0two\u3000three", "one\xa0two\u3000three"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\u202a\u202e\u2066\u2069\u200e\u200f", "\\u202a\\u202e\\u2066\\u2069\\u200e\\u200f"),
        ("\u200b\ufeff\u2028", "\\u200b\\ufeff\\u2028"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\xff"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_commands_or_hides_is_escaped(text, shown):
    assert console.printable(text) == shown
    assert console.printable(shown) == shown


def test_what_is_kept_stays():
    assert console.printable("a\nb\x1b\n", keep="\n") == "a\nb\\x1b\n"


def clean(text):
    return [raw for raw in RAW if raw in text] == []


def test_tables_and_pages_are_clean(tmp_path, capsys):
    console.print_table(("NAME", "WHY"), [(NASTY, NASTY)])
    printed = capsys.readouterr().out
    assert clean(printed)
    assert len(printed.splitlines()) == 2
    page = tmp_path / "page.html"
    console.write_html(
        page, "title \u202e\x1b", f"<p>\u200b</p>{console.table(('a',), [(NASTY,)])}"
    )
    written = page.read_text(encoding="utf-8")
    assert not any(raw in written for raw in RAW if raw != "\nfake"), (
        "a line end does nothing there"
    )


def test_progress_is_clean(capsys):
    with console.ProgressReporter("work") as progress:
        progress(1, 1, NASTY)
    assert clean(capsys.readouterr().err)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model with such names, in a file with such a name."""
    folder = tmp_path_factory.mktemp("nasty")
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Relu", [f"x{NASTY}"], [f"y{NASTY}"], name=NASTY)],
        NASTY,
        [info(f"x{NASTY}", TensorProto.FLOAT, [NASTY, 2])],
        [info(f"y{NASTY}", TensorProto.FLOAT, [NASTY, 2])],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = folder / "m\x1b[31m\u202e.onnx"
    onnx.save(made, file)
    np.savez(folder / "x.npz", **{f"x{NASTY}": np.ones((3, 2), np.float32)})
    return file


@pytest.mark.parametrize(
    "words",
    [
        ["plan"],
        ["plan", "--verbose"],
        ["plan", "--pin", "nothing=onnx:cpu"],
        ["explain", "--input", "x.npz"],
        ["run", "--input", "x.npz", "--explain", "--html", "page.html"],
        ["run", "--input", "\x1b.npz"],
        ["bench", "--input", "x.npz"],
        ["calibrate", "--input", "x.npz"],
    ],
    ids=" ".join,
)
def test_names_of_a_model_are_clean(words, model, tmp_path):
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(zoo.SOURCES), os.environ.get("PYTHONPATH", "")]),
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_PLUGINS": "cpu_onnx",
    }
    process = subprocess.run(
        [sys.executable, "-P", "-m", "deepseek_core", words[0], model.name, *words[1:]],
        capture_output=True, text=True, env=env, cwd=model.parent, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == (2 if {"--pin", "\x1b.npz"} & {*words} else 0), process.stderr
    assert clean(process.stdout + process.stderr)
    if "--html" in words:
        page = (model.parent / "page.html").read_text(encoding="utf-8")
        assert not any(raw in page for raw in RAW if raw != "\nfake")


@pytest.mark.parametrize(
    "words",
    [["list-plugins"], ["list-plugins", "--verbose"], ["plugin-info", "nasty"], ["doctor"],
     ["devices"], ["config", "show"]],
    ids=" ".join,
)  # fmt: skip
def test_words_of_a_plugin_are_clean(words, tmp_path):
    hooks = zoo.HOOKS.replace("probe=", f"summary={NASTY!r}, probe=")
    probe = f"""
from deepseek_core import DeviceInfo

def probe():
    return [DeviceInfo(id="nasty:0", kind="sim", name={NASTY!r}, evidence="model",
                       status="unavailable", reason={NASTY!r}, remedy={NASTY!r})]
"""
    zoo.install(tmp_path, "nasty", hooks=hooks, probe=probe)
    zoo.install(tmp_path, "raises", hooks=f"raise RuntimeError({NASTY!r})\n")
    (tmp_path / "config.toml").write_text('[plugin."x\\u001b\\nfake"]\n"k\\u202e" = 1\n')
    env = {
        "DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"),
        "DEEPSEEK_CONFIG": str(tmp_path / "config.toml"),
    }
    process = zoo.ds_sdk(*words, path=[tmp_path], env=env)
    assert process.returncode == 0, process.stderr
    assert clean(process.stdout + process.stderr)


@pytest.mark.parametrize(
    "words",
    [
        ["costs", "export", "\x1b]0;x\x07\u202e.json"],
        ["new-plugin", "device", "acme_npu", "--folder", "new\x1b[31m\u202e"],
        ["new-plugin", "device", "acme_npu", "--folder", "new\x1b[31m\u202e"],  # it is there now
        ["plugins", "disable", "nasty"],
        ["plugins", "enable", "nasty"],
        ["plugins", "disable", "\x1b[31m\u202e"],
        ["plugins", "restore", "lines\x1b.txt", "--dry-run"],
        ["config", "path"],
        ["store", "init", "home\x1b[31m\u202e"],
        ["store", "status", "home\x1b[31m\u202e"],
        ["compress", "init", "recipe\x1b[31m\u202e.toml"],
        ["compress", "verify", "nothing\x1b[31m\u202e"],
        ["trt", "check", "model\x1b[31m\u202e.onnx"],
        ["fpga", "build", "--target", "aoc", "--kernel", "hamming", "--board", "x",
         "--output", "board\x1b[31m\u202e", "--dry-run"],
    ],
    ids=ascii,
)  # fmt: skip
def test_names_of_files_are_clean(words, folder_of_files):
    folder, env = folder_of_files
    process = subprocess.run(
        [sys.executable, "-P", "-m", "deepseek_core", *words],
        capture_output=True, text=True, env=env, cwd=folder, check=False, timeout=120,
    )  # fmt: skip
    assert process.stdout or process.stderr, "it says something"
    assert "Traceback" not in process.stderr
    assert clean(process.stdout + process.stderr)


@pytest.fixture(scope="module")
def folder_of_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    zoo.install(folder, "nasty")
    (folder / "lines\x1b.txt").write_text("zoo-nasty==9\x1b[31m\u202e\n", encoding="utf-8")
    path = [str(folder), str(zoo.SOURCES), os.environ.get("PYTHONPATH", "")]
    return folder, os.environ | {
        "PYTHONPATH": os.pathsep.join(path),
        "DEEPSEEK_CACHE_DIR": str(folder / "cache"),
        "DEEPSEEK_CONFIG": str(folder / "config\x1b[31m\u202e.toml"),
    }
