"""Data at a URL: copied whole, checked, gone again once prepared, and named in the card."""

import errno
import json
from pathlib import Path

import fsspec
import pytest

from deepseek_apps.work.elsewhere import fetched
from deepseek_core import errors
from deepseek_core.cli import main


def nothing(done, of, text):
    pass


@pytest.fixture
def memory():
    """A filesystem in memory, empty before and after."""
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_a_folder_comes_with_all_in_it_however_it_is_named(memory, tmp_path):
    names = ["a.png", "deep/er/ü b.png", "with[1]*?.png", "empty"]
    for name in names:
        memory.pipe_file(f"/parts/{name}", name.encode() * (name != "empty"))
    heard = []
    copy = fetched("memory://parts", tmp_path, lambda *words: heard.append(words))
    assert copy.name == "parts"
    found = {p.relative_to(copy).as_posix(): p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    assert found == {name: name.encode() * (name != "empty") for name in names}
    assert heard[-1] == (4, 4, "copying memory://parts")


def test_a_file_comes_alone(memory, tmp_path):
    memory.pipe_file("/data/rows.csv", b"x,y\n")
    memory.pipe_file("/data/rows.csv.old", b"old")
    copy = fetched("memory://data/rows.csv", tmp_path, nothing)
    assert (copy.name, copy.read_bytes()) == ("rows.csv", b"x,y\n")
    assert [path.name for path in copy.parent.iterdir()] == ["rows.csv"]


def test_a_file_that_arrives_short_is_told(memory, tmp_path, monkeypatch):
    memory.pipe_file("/parts/a", b"abcdef")

    def short(self, rpath, lpath, **options):
        Path(lpath).write_bytes(b"abc")

    monkeypatch.setattr(type(memory), "get_file", short)
    with pytest.raises(errors.InputError, match="has 6 bytes, 3 arrived"):
        fetched("memory://parts", tmp_path, nothing)


def test_a_full_disk_is_told_as_one(memory, tmp_path, monkeypatch):
    memory.pipe_file("/parts/a", b"abcdef")

    def full(self, rpath, lpath, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(memory), "get_file", full)
    with pytest.raises(errors.WriteError, match="has no space for memory://parts"):
        fetched("memory://parts", tmp_path, nothing)


def test_a_name_that_leads_out_of_the_folder_is_refused(memory, tmp_path, monkeypatch):
    names = {"/parts/../../etc/passwd": {"size": 3}}
    monkeypatch.setattr(type(memory), "find", lambda self, root, **options: names)
    with pytest.raises(errors.InputError, match="give it another name"):
        fetched("memory://parts", tmp_path, nothing)


def test_a_password_in_a_url_is_told_nowhere(tmp_path):
    with pytest.raises(errors.DeepSeekError) as refused:
        fetched("sftp://me:secret@host/parts", tmp_path, nothing)
    assert "secret" not in f"{refused.value} {refused.value.remedy}"


def test_an_application_is_prepared_from_a_store(plugin, rows, tmp_path, monkeypatch, capsys):
    from deepseek_store import Store

    with Store.init(tmp_path / "store") as store:
        store.put("given/rows.csv", rows.read_bytes())
    monkeypatch.setenv("DEEPSEEK_STORE_HOME", str(tmp_path / "store"))
    work = tmp_path / "work"
    words = ["prepare", str(work), "--data", "ds://given/rows.csv", "--json"]
    assert main(["app", plugin, *words]) == 0
    card = json.loads(capsys.readouterr().out)["card"]
    assert card["source"] == "ds://given/rows.csv"
    assert sorted(path.name for path in work.iterdir() if path.is_dir()) == ["data"]
    here = tmp_path / "here"
    assert main(["app", plugin, "prepare", str(here), "--data", str(rows), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["card"]["split_hash"] == card["split_hash"]
