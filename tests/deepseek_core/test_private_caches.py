"""What lies in the cache is loaded as code and believed: nobody else may have put it there."""

import json
import os
import warnings

import plugin_zoo as zoo
import pytest

from deepseek_core import console, errors
from deepseek_core.discovery import folders
from deepseek_core.runtime.session import Session

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root gives files away")
STRANGER = 12345


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    monkeypatch.setenv("DEEPSEEK_CACHE_DIR", str(folder))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


def refused(folder):
    """The folder that is taken in place of one that is refused, and why."""
    with pytest.warns(RuntimeWarning, match=f"no caches in {folder}") as told:
        spare = folders.cache_dir()
    assert spare != folder
    assert spare.stat().st_mode & 0o777 == 0o700
    return str(told[0].message)


def test_a_private_folder_is_taken_without_a_word(cache):
    (cache / "link").symlink_to("nowhere")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert folders.cache_dir() == cache


@pytest.mark.parametrize("mode", [0o707, 0o777, 0o1777])
def test_an_empty_one_that_others_could_write_to_is_closed(cache, mode):
    cache.chmod(mode)
    assert folders.cache_dir() == cache
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o707, 0o777, 0o1777])
def test_one_that_holds_something_is_refused(cache, mode):
    (cache / "opencl").mkdir()
    cache.chmod(mode)
    assert "others can write to it, so what it holds may be anybody's" in refused(cache)
    assert cache.stat().st_mode & 0o1777 == mode
    assert folders.cache_to_read() is None
    with pytest.raises(errors.ConfigError, match="others can write to it") as caught:
        Session(cache_dir=cache)
    assert caught.value.remedy == "give a folder that only you may write to"


@needs_root
def test_one_that_a_group_could_write_to_is_refused_unless_nobody_else_is_in_it(cache):
    """The own group of each user writes where the umask is 002, as some systems have it."""
    (cache / "opencl").mkdir()
    cache.chmod(0o770)
    assert folders.cache_dir() == cache
    os.chown(cache, -1, STRANGER)
    assert "others can write to it" in refused(cache)


@needs_root
def test_one_of_another_user_is_refused(cache):
    os.chown(cache, STRANGER, STRANGER)
    assert "it belongs to another user" in refused(cache)


@needs_root
def test_one_that_holds_files_of_another_user_is_refused(cache):
    (cache / "history.sqlite").touch()
    os.chown(cache / "history.sqlite", STRANGER, STRANGER)
    assert "history.sqlite in it belongs to another user" in refused(cache)


@needs_root
def test_a_file_of_another_user_is_not_read(tmp_path):
    file = tmp_path / "kernel.bin"
    file.write_bytes(b"code")
    assert console.read_own(file) == b"code"
    os.chown(file, STRANGER, STRANGER)
    with pytest.raises(PermissionError, match="it belongs to another user"):
        console.read_own(file)


@needs_root
def test_a_probe_of_another_user_is_asked_again(tmp_path):
    zoo.install(tmp_path, "well")
    env = {"DEEPSEEK_CACHE_DIR": str(tmp_path / "cache"), "DEEPSEEK_PLUGINS": "well"}

    def names():
        process = zoo.ds_sdk("devices", "--json", path=[tmp_path], env=env)
        return [device["name"] for device in json.loads(process.stdout)["devices"]]

    assert names() == ["one"]
    (file,) = (tmp_path / "cache" / "probes").glob("well-*.json")
    file.write_text(file.read_text().replace('"one"', '"forged"'))
    assert names() == ["forged"]
    os.chown(file, STRANGER, STRANGER)
    assert names() == ["one"]


def test_doctor_and_list_plugins_tell_and_go_on(tmp_path):
    zoo.install(tmp_path, "well")
    cache = tmp_path / "cache"
    (cache / "probes").mkdir(parents=True)
    cache.chmod(0o777)
    env = {"DEEPSEEK_CACHE_DIR": str(cache), "TMPDIR": str(tmp_path), "PYTHONWARNINGS": ""}
    told = zoo.ds_sdk("doctor", "--no-load", "--json", path=[tmp_path], env=env)
    (check,) = [c for c in json.loads(told.stdout)["checks"] if c["name"] == "cache"]
    assert check["status"] == "warn"
    assert "others can write to it" in check["message"]
    listed = zoo.ds_sdk("list-plugins", "--json", path=[tmp_path], env=env)
    assert listed.returncode == 0, listed.stderr
    devices = zoo.ds_sdk("devices", "--json", path=[tmp_path], env=env)
    assert devices.returncode == 0
    assert f"warning: no caches in {cache}" in devices.stderr
