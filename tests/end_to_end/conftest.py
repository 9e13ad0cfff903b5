"""The command line in this process, with a cache that one module's tests share."""

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def shared_cache(asked_devices, tmp_path_factory):
    return shutil.copytree(asked_devices, tmp_path_factory.mktemp("shared") / "cache")


@pytest.fixture
def ds(tmp_path, capsys, monkeypatch, shared_cache):
    """`ds-sdk` in an empty folder, as a user who set no switch."""
    from typed_commands import CommandLine

    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(shared_cache))
    monkeypatch.setenv("DEEPSEEK_CONFIG", str(tmp_path / "no_config.toml"))
    return CommandLine(folder, capsys)
