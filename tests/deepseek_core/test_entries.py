"""Entries as people write them: classes, scripts, packages, files that workers must find again."""

import multiprocessing
import sys

import pytest
from process import forget_modules

from deepseek_core import errors
from deepseek_core.cli.console import load_entry


@pytest.fixture(autouse=True)
def _own_path(monkeypatch, tmp_path):
    """The import path stays as it was, and modules of the test's own files are forgotten."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    forget_modules(tmp_path)


def test_a_worker_process_finds_what_a_file_defines(tmp_path):
    (tmp_path / "attack_worker_file.py").write_text("def double(x):\n    return 2 * x\n")
    double = load_entry("attack_worker_file.py:double", tmp_path, where="data.train")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(double, [4]) == [8]


def test_two_files_of_one_name_are_two_modules(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "attack_twin.py").write_text(f"name = {name!r}\n")
    found = [load_entry(f"{n}/attack_twin.py:name", tmp_path, where="x") for n in ("one", "two")]
    assert found == ["one", "two"]


def test_a_file_that_is_called_as_a_library_is_not_that_library(tmp_path):
    (tmp_path / "json.py").write_text("mine = 1\n")
    assert load_entry("json.py:mine", tmp_path, where="x") == 1


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("import sys\nsys.exit(2)\n", "__main__"),
        ("import argparse\nargparse.ArgumentParser().parse_args(['--nope'])\n", "__main__"),
        ("from . import neighbor\n", "package.module:function"),
        ("import no_such_library_at_all\n", "install what it imports"),
    ],
)
def test_a_module_that_can_not_be_imported(tmp_path, text, remedy):
    (tmp_path / "attack_broken.py").write_text(text)
    with pytest.raises(errors.ConfigError, match="can't be imported") as refused:
        load_entry("attack_broken.py:make", tmp_path, where="model.entry")
    assert remedy in refused.value.remedy
