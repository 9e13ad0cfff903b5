"""What these tests have in common is found out once."""

import os
import shutil
from importlib.util import find_spec
from unittest import mock

import process
import pytest

CACHE = "DEEPSEEK_CACHE_DIR"


@pytest.fixture(scope="session", autouse=True)
def _operators_read_once():
    if find_spec("torch") is None:
        yield
        return
    with process.operators_read_once():
        yield


@pytest.fixture(scope="session")
def asked_devices(tmp_path_factory):
    """A cache in which the devices of this machine have been asked, and nothing else."""
    from deepseek_core import Session

    folder = tmp_path_factory.mktemp("devices") / "cache"
    with mock.patch.dict(os.environ, {CACHE: str(folder)}), Session():
        return folder


@pytest.fixture
def own_cache(asked_devices, tmp_path, monkeypatch):
    """A cache of the test's own, without a history; to ask each device takes a process."""
    shutil.copytree(asked_devices, tmp_path / "cache")
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
