"""Sync, both ways: the same on both sides, what is unchanged is left alone, deletes with care."""

import os
import shlex
import shutil

import pytest

from deepseek_store import Store


@pytest.fixture
def store(cli):
    cli.init()
    return cli


@pytest.fixture
def here(tmp_path):
    folder = tmp_path / "here"
    (folder / "sub" / "deep").mkdir(parents=True)
    (folder / "empty").mkdir()
    for name in ("a", "sub/b", "sub/deep/c"):
        (folder / name).write_bytes(name.encode() * 100)
    return folder


def tree(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def up(store, here, *words, code=0):
    return store.json("sync", here, "ds://t", *words, code=code)


def down(store, there, *words, code=0):
    return store.json("sync", "ds://t", there, *words, code=code)


def test_both_sides_become_the_same_and_then_nothing_moves(store, here, tmp_path):
    done = up(store, here)
    assert done["copied"] == ["a", "empty/", "sub/b", "sub/deep/c"]
    generations = [one["generation"] for one in store.json("ls", "t", "-R")["objects"]]
    assert up(store, here)["same"] == 4
    assert up(store, here, "--checksum")["copied"] == []
    assert [one["generation"] for one in store.json("ls", "t", "-R")["objects"]] == generations
    there = tmp_path / "there"
    assert down(store, there)["copied"] == ["a", "empty/", "sub/b", "sub/deep/c"]
    assert tree(there) == tree(here)
    inodes = {path: path.stat().st_ino for path in there.rglob("*")}
    assert down(store, there)["same"] == down(store, there, "-c")["same"] == 4
    assert {path: path.stat().st_ino for path in there.rglob("*")} == inodes


def test_unchanged_files_are_not_read(store, here, monkeypatch):
    up(store, here)
    opened, real = [], os.open

    def noted(path, *rest, **more):
        opened.append(str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", noted)
    up(store, here)
    assert not [path for path in opened if str(here) in path]
    (here / "a").write_bytes(b"new")
    up(store, here)
    assert [path for path in opened if str(here) in path] == [str(here / "a")]


@pytest.mark.parametrize("flag", [(), ("--checksum",), ("--size-only",)])
def test_what_differs_is_copied_as_far_as_the_rule_sees_it(store, here, tmp_path, flag):
    up(store, here)
    there = tmp_path / "there"
    down(store, there)
    before = (here / "a").stat()
    (here / "a").write_bytes(b"A" * before.st_size)
    os.utime(here / "a", ns=(1, before.st_mtime_ns))  # same size, same time, other bytes
    os.utime(here / "sub" / "b", ns=(1, 10**18))  # same bytes, another time
    (here / "sub" / "deep" / "c").write_bytes(b"longer" * 500)
    copied = {
        (): ["sub/b", "sub/deep/c"],
        ("--checksum",): ["a", "sub/deep/c"],
        ("--size-only",): ["sub/deep/c"],
    }[flag]
    assert up(store, here, *flag, "--dry-run")["copied"] == copied
    assert up(store, here, *flag)["copied"] == copied
    assert down(store, there, *flag)["copied"] == copied
    assert all((there / name).read_bytes() == (here / name).read_bytes() for name in copied)


def test_permissions_alone_make_no_bytes_move_here(store, here, tmp_path):
    there = tmp_path / "there"
    up(store, here)
    down(store, there)
    (here / "a").chmod(0o600)
    up(store, here)
    inode = (there / "a").stat().st_ino
    assert down(store, there)["permissions"] == 1
    assert ((there / "a").stat().st_mode & 0o777, (there / "a").stat().st_ino) == (0o600, inode)


def test_nothing_is_deleted_without_the_word_for_it(store, here, tmp_path):
    there = tmp_path / "there"
    up(store, here)
    down(store, there)
    shutil.rmtree(here / "sub")
    (here / "empty").rmdir()
    (there / "mine").write_bytes(b"m")
    (there / "none").mkdir()
    assert up(store, here)["deleted"] == []
    would = up(store, here, "--delete", "--dry-run")["deleted"]
    assert would == up(store, here, "--delete")["deleted"] == ["empty/", "sub/b", "sub/deep/c"]
    assert store("ls", "t", "-R") == "t/a\n"
    assert down(store, there)["deleted"] == []
    assert set(down(store, there, "--delete")["deleted"]) >= {"mine", "sub/b", "sub/deep/c"}
    assert tree(there) == tree(here) == {"a": b"a" * 100}


def test_neighbors_and_what_is_left_out_are_not_deleted(store, here):
    with Store(store.home) as opened:
        for key in ("t2/x", "t", "t/old.log", "t/old"):
            opened.put(key, b"x")
    done = up(store, here, "--delete", "--exclude", "*.log")
    assert done["deleted"] == ["old"]
    assert {"t2/x", "t", "t/old.log"} <= set(store("ls", "-R").split())
    store("sync", here, "ds://t", "--delete", "--max-delete", "0", code=2)
    assert "nothing was done" in store.err
    assert "t/old.log" in store("ls", "-R").split()


def test_nothing_is_deleted_where_not_all_could_be_looked_at(store, here):
    up(store, here)
    (here / "a").unlink()
    bad = os.fsencode(here) + b"/bad\xff"
    with open(bad, "wb") as file:  # noqa: PTH123 - no text
        file.write(b"x")
    done = up(store, here, "--delete", code=1)
    assert done["deleted"] == []
    assert "nothing is deleted" in done["notes"][0]["why"]
    os.unlink(bad)  # noqa: PTH108 - no text
    assert up(store, here, "--delete")["deleted"] == ["a"]


def test_a_file_gives_way_to_a_folder_and_back(store, here, tmp_path):
    there = tmp_path / "there"
    up(store, here)
    down(store, there)
    (here / "a").unlink()
    (here / "a").mkdir()
    (here / "a" / "in").write_bytes(b"1")
    shutil.rmtree(here / "sub")
    (here / "sub").write_bytes(b"now a file")
    up(store, here, "--delete")
    down(store, there, "--delete")
    assert tree(there) == tree(here)


def test_an_object_beside_its_folder_stays_the_same(store, tmp_path):
    with Store(store.home) as opened:
        for key in ("t/a", "t/a/b"):
            opened.put(key, key.encode())
    there = tmp_path / "there"
    assert down(store, there)["copied"] == ["a", "a/b"]
    assert down(store, there, "--delete")["same"] == 2
    assert up(store, there, "--delete")["deleted"] == []
    assert store("ls", "t", "-R").split() == ["t/a", "t/a/b"]


def test_links_here_are_left_where_they_are(store, here, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"k")
    up(store, here)
    there = tmp_path / "there"
    there.mkdir()
    (there / "sub").symlink_to(outside)
    done = down(store, there, code=1)
    assert {one["name"] for one in done["failed"]} == {"t/sub/b", "t/sub/deep/c"}
    assert list(outside.iterdir()) == [outside / "kept"]
    down(store, there, "--delete")
    assert tree(there) == tree(here)
    assert list(outside.iterdir()) == [outside / "kept"]


def test_the_sides_have_to_be_told_apart(store, here, tmp_path):
    store("sync", here, tmp_path / "there", code=2)
    assert f"ds-sdk store sync {store.home} {here} ds://" in store.err
    store("sync", "ds://a", "ds://b", code=2)
    store("sync", "ds:///elsewhere!/t", tmp_path / "there", code=2)
    store("sync", "ds://none", tmp_path / "there", code=1)
    store("sync", tmp_path / "none", "ds://t", code=2)
    up(store, here)
    assert store.json("sync", f"ds://{store.home}!/t", tmp_path / "there")["copied"]
    assert store.json("sync", "ds:t", tmp_path / "there")["same"] == 4


def test_a_snapshot_can_be_the_source(store, here, tmp_path):
    up(store, here)
    store("snapshot", "before")
    store("rm", "t", "-r", "-q")
    store("sync", "ds://t", tmp_path / "there", "--snapshot", "before", "-q")
    assert tree(tmp_path / "there") == tree(here)
    store("sync", here, "ds://t", "--snapshot", "before", code=2)


def test_links_and_empty_folders_keep_names_that_folders_have_too(store, tmp_path):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    for folder in (one, two, three):
        folder.mkdir()
    (one / "l").symlink_to("elsewhere")
    (two / "l").mkdir()
    (two / "l" / "file").write_bytes(b"1")
    (two / "bare").mkdir()
    (three / "bare").write_bytes(b"2")
    for folder in (one, two, three):
        store("put", "t", folder, "-r", "--links")
    there = tmp_path / "there"
    assert len(down(store, there, "--links", "--delete")["copied"]) == 4
    for again in (down, up):
        done = again(store, there, "--links", "--delete")
        assert (done["copied"], done["deleted"], done["same"]) == ([], [], 4)
    store("put", "u", there, "-r", "--links")
    assert "u/l\n" in store("ls", "u", "-R") and "u/bare\n" in store("ls", "u", "-R")


def test_what_is_told_is_what_was_done(store, here, tmp_path):
    up(store, here)
    (here / "a").chmod(0o600)
    dry, done = up(store, here, "--dry-run"), up(store, here)
    assert dry | {"dry_run": False} == done
    assert (done["copied"], done["permissions"]) == ([], 1)
    there = tmp_path / "there"
    (there / "a").mkdir(parents=True)
    (there / "a" / "in the way").touch()
    done = down(store, there, code=1)
    assert "a" not in done["copied"] and done["failed_count"] == 1
    assert done["nbytes"] == sum((here / path).stat().st_size for path in ("sub/b", "sub/deep/c"))


def test_a_dry_run_knows_what_the_target_refuses(store, here, tmp_path):
    (here / "out").symlink_to("../../elsewhere")
    up(store, here, "--links")
    there = tmp_path / "there"
    assert down(store, there, "--dry-run")["copied"] == down(store, there)["copied"]
    for flag in ("--dry-run", "-q"):
        refused = store.json("sync", here, "ds://../t", flag, "--links", code=1)
        assert refused["copied"] == [] and refused["failed_count"] == 5
    assert store.json("cp", "t/a", "../a", "--dry-run", code=1)["objects"] == []


def test_two_folders_of_the_store_are_for_cp(store, here):
    up(store, here)
    store("sync", "ds://t", "ds:/new folder", code=2)
    words = store.err.split("fix: ds-sdk store ")[1].split(str(store.home))[1]
    assert store.err.count(" cp ") == 1
    store("cp", *shlex.split(words))
    assert "new folder/sub/b\n" in store("ls", "new folder", "-R")
