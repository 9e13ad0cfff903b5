"""Completion: real shells, sourced as their users do, and the candidates that they ask for."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deepseek_store import Store
from deepseek_store.cli.completion_command import candidates

BASH = """
source <(ds-sdk store completion bash)
COMP_LINE=$1 COMP_POINT=${#1}
compopt() { :; }
_ds_sdk
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def home(tmp_path):
    with Store.init(tmp_path / "home") as store:
        for key in ("train/a", "train/b c", "train2/x", "to:do/y", "z"):
            store.put(key, b"x")
    return tmp_path / "home"


@pytest.fixture
def bash(tmp_path):
    program = shutil.which("bash")
    if program is None:
        pytest.skip("there is no bash")
    tool = tmp_path / "bin" / "ds-sdk"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {sys.executable} -m deepseek_core "$@"\n')
    tool.chmod(0o755)

    def complete(line):
        environment = os.environ | {"PATH": f"{tool.parent}:{os.environ['PATH']}"}
        done = subprocess.run(
            [program, "-c", BASH, "bash", line],
            capture_output=True, text=True, env=environment, check=True, timeout=60,
        )  # fmt: skip
        return done.stdout.splitlines()

    return complete


def test_bash_completes_commands_options_and_keys(bash, home):
    assert "sync" in bash("ds-sdk store s")
    assert bash(f"ds-sdk store get {home} tr") == ["train/", "train2/"]
    assert bash(f"ds-sdk store get {home} train/") == ["train/a", r"train/b\ c"]
    assert bash(f"ds-sdk store get {home} 'train/b") == [r"train/b\ c"]
    assert bash(f"ds-sdk store cat {home} to:") == ["do/"]
    assert "--recursive" in bash(f"ds-sdk store rm {home} z --rec")
    assert bash(f"ds-sdk store send {home} z --tier c") == ["cold"]


def test_what_is_a_file_is_left_to_the_shell(home):
    assert list(candidates(["ds-sdk", "store", "put", str(home), "tr"])) == ["train/", "train2/"]
    assert list(candidates(["ds-sdk", "store", "put", str(home), "k", "tr"])) == []
    assert list(candidates(["ds-sdk", "store", "get", ""])) == []
    assert list(candidates(["ds-sdk", "store", "get", "nowhere", ""])) == []
    assert list(candidates(["ds-sdk", "st"])) == ["store"]
    assert "warm" not in list(candidates(["ds-sdk", "store", ""]))


def test_nothing_is_made_where_no_store_is(tmp_path):
    assert list(candidates(["ds-sdk", "store", "ls", str(tmp_path), ""])) == []
    assert not list(Path(tmp_path).iterdir())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_its_shell_reads(cli, shell, tmp_path):
    assert cli.group("completion", shell) == 0
    (tmp_path / "script").write_text(cli.out)
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"there is no {shell}")
    subprocess.run([program, "-n", tmp_path / "script"], check=True)
