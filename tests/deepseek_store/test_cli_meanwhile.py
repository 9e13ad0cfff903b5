"""Others delete, and folders vanish, while a command works: what is left is done, all is told."""

import shutil

import pytest

from deepseek_store import Store
from deepseek_store.cli.key_view import KeyView
from deepseek_store.cli.local.walk import FolderWalk, WalkOptions
from deepseek_store.cli.partial_failures import Troubles

GONE = "t/b"


@pytest.fixture
def here(tmp_path):
    folder = tmp_path / "here"
    folder.mkdir()
    for name in "abc":
        (folder / name).write_bytes(name.encode() * 10)
    return folder


@pytest.fixture
def store(cli, here):
    cli.init()
    cli("put", "t", here, "-r")
    return cli


@pytest.fixture
def listed_before(store, monkeypatch):
    """Somebody deletes an object while a command lists it."""
    below = KeyView.below

    def deleting(view, prefix):
        for key in list(below(view, prefix)):
            if key == GONE:
                with Store(store.home, shared=True) as other:
                    other.delete(GONE)
            yield key

    monkeypatch.setattr(KeyView, "below", deleting)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("rm", "t", "-r"), {"deleted": ["t/a", "t/c"], "nbytes": 20}),
        (("rm", "t", "-r", "--dry-run"), {"deleted": ["t/a", "t/c"], "nbytes": 20}),
        (("sync", "ds://t", "THERE"), {"copied": ["a", "c"], "nbytes": 20}),
        (("sync", "HERE", "ds://t"), {"copied": ["b"], "same": 2}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_an_object_that_goes_after_it_was_listed(
    store, here, tmp_path, listed_before, words, expected
):
    places = {"HERE": here, "THERE": tmp_path / "there"}
    told = store.json(*(places.get(word, word) for word in words))
    assert {name: told[name] for name in expected} == expected


def test_one_that_goes_after_it_was_listed_is_not_shown(store, listed_before):
    assert "t/b" not in store("ls", "t", "-R", "-l")
    assert [one["key"] for one in store.json("ls", "t", "-R")["objects"]] == ["t/a", "t/c"]
    assert store("du", "t", "-s").split() == ["20", "t"]


def test_the_rest_is_fetched_and_the_missing_one_told(store, tmp_path, listed_before):
    store("cat", "t", "-r", code=1)
    assert store.raw == b"a" * 10 + b"c" * 10 and "'t/b'" in store.err
    store("put", "t/b", tmp_path / "here" / "b")
    store("get", "t", tmp_path / "there", "-r", code=1)
    assert {path.name for path in (tmp_path / "there").iterdir()} == {
        "a",
        "c",
    } and "t/b" in store.err


def test_a_folder_that_vanished_before_the_walk_is_told(here):
    shutil.rmtree(here)
    troubles = Troubles()
    assert list(FolderWalk(str(here), WalkOptions(), troubles)) == []
    assert troubles.exit_code == 1 and "can't be read" in troubles.failed[0]["why"]


def test_a_link_that_can_not_be_read_keeps_a_sync_from_deleting(store, here, monkeypatch):
    (here / "link").symlink_to("a")
    (here / "b").unlink()

    def refused(*_words, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.readlink", refused)
    told = store.json("sync", here, "ds://t", "--links", "--delete", code=1)
    assert (told["deleted"], told["same"], told["failed_count"]) == ([], 2, 1)
