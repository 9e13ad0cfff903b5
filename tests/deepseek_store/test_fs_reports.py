"""What users reported of other fsspec filesystems does not happen here."""

import errno
import os
import zipfile
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path

import fsspec
import pytest
from fs_stores import new_home
from fsspec.implementations.dirfs import DirFileSystem

from deepseek_store import Store
from deepseek_store.fs.filesystem import DeepSeekFileSystem


@pytest.fixture
def home():
    with new_home() as home:
        yield home


def test_every_range_is_that_of_a_slice(fs):
    """fsspec/ossfs#166, fsspec/s3fs#433, #487: ends inclusive, zero and negative starts."""
    content = bytes(range(7))
    fs.pipe_file("a", content)
    fs.pipe_file("empty", b"")
    for start in (None, *range(-9, 10)):
        for end in (None, *range(-9, 10)):
            assert fs.cat_file("a", start, end) == content[start:end], (start, end)
            assert fs.cat_file("empty", start, end) == b""
            assert fs.cat_ranges(["a"], [start], [end]) == [content[start:end]]
    for start in range(10):
        assert bytes(fs.store.get("a", start)) == content[start:]


def test_a_walk_over_marks_of_folders_names_nothing_twice(fs):
    """fsspec/s3fs#988: after find(), ls() had a folder twice, with a slash and without."""
    fs.makedirs("top/a")
    fs.makedirs("top/c/empty")
    fs.pipe({"top/a/x": b"1", "top/b": b"2"})
    for _ in range(2):
        fs.find("top", withdirs=True)
        assert fs.ls("top", detail=False) == ["top/a", "top/b", "top/c"]
        assert [entry["name"] for entry in fs.ls("top")] == ["top/a", "top/b", "top/c"]
        assert fs.glob("top/*") == ["top/a", "top/b", "top/c"]
        assert next(fs.walk("top")) == ("top", ["a", "c"], ["b"])
        names = fs.find("top", withdirs=True)
        assert len(names) == len(set(names)) == 6
    assert fs.du("top") == 2


def test_a_file_and_a_folder_of_one_name_are_one_name_and_no_byte_is_lost(fs, tmp_path):
    """awslabs/mountpoint-s3#725: `ls` showed the name twice. `Store.put` takes both keys."""
    for key in ("a", "a/b", "a/c/d", "z"):
        fs.store.put(key, key.encode())
    assert fs.ls("", detail=False) == ["a", "z"]
    assert fs.info("a")["type"] == "file" and fs.isfile("a") and not fs.isdir("a")
    assert fs.find("") == ["a", "a/b", "a/c/d", "z"]
    names = fs.find("", withdirs=True)
    assert names == ["a", "a/b", "a/c", "a/c/d", "z"]
    assert fs.glob("**") == names
    seen = [f"{top}/{name}".lstrip("/") for top, _, files in fs.walk("") for name in files]
    assert sorted(seen) == ["a", "a/b", "a/c/d", "z"]
    assert fs.du("") == sum(map(len, seen))
    assert fs.cat("", recursive=True) == {name: name.encode() for name in seen}
    with pytest.raises(FileExistsError):
        fs.get("", f"{tmp_path}/", recursive=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "z"]  # all but what can't be
    fs.rm("a")
    assert fs.find("") == ["a/b", "a/c/d", "z"]
    assert fs.isdir("a")


def test_a_folder_that_was_moved_is_gone_where_it_was(fs):
    """fsspec/adlfs#255: mv left the folders behind."""
    fs.makedirs("a/empty/deep")
    fs.pipe({"a/x": b"1", "a/b/y": b"2"})
    fs.mv("a", "c", recursive=True)
    assert fs.find("", withdirs=True) == ["c", "c/b", "c/b/y", "c/empty", "c/empty/deep", "c/x"]
    fs.makedirs("d")
    fs.mv("c", "d")  # into it, since it is there
    assert fs.find("") == ["d/c/b/y", "d/c/x"]


def test_no_move_loses_anything(fs):
    """A folder into itself, onto itself, to a depth, two files to one name."""
    files = {"a/x": b"1", "a/b/y": b"2", "a/b/c/z": b"3", "o/x": b"4"}
    fs.pipe(files)
    for call in (
        lambda: fs.mv("a", "a/b", recursive=True),
        lambda: fs.mv("a", "a/new", recursive=True),
        lambda: fs.mv("", "a/b", recursive=True),
        lambda: fs.mv(["a/x", "o/x"], "to/"),
        lambda: fs.mv(["a/x", "none"], "to/"),
    ):
        with pytest.raises(OSError):
            call()
        assert fs.cat("", recursive=True) == files
    fs.mv("a/x", "ds://a/x")
    fs.mv("a/", "a", recursive=True)
    assert fs.cat("", recursive=True) == files
    fs.mv("a", "to", recursive=True, maxdepth=1)
    assert fs.cat("", recursive=True) == {
        "to/x": b"1", "a/b/y": b"2", "a/b/c/z": b"3", "o/x": b"4",
    }  # fmt: skip


def test_a_folder_that_is_put_again_lies_where_cp_would_have_it(fs, tmp_path):
    """fsspec/filesystem_spec#1062, #882: nested by the second call; a slash says otherwise."""
    (tmp_path / "source/sub").mkdir(parents=True)
    (tmp_path / "source/f").write_bytes(b"1")
    (tmp_path / "source/sub/g").write_bytes(b"2")
    for _ in range(2):
        fs.put(f"{tmp_path}/source/", "to", recursive=True)
        assert fs.find("to") == ["to/f", "to/sub/g"]
    fs.put(f"{tmp_path}/source", "to", recursive=True)
    assert fs.find("to/source") == ["to/source/f", "to/source/sub/g"]
    fs.put(f"{tmp_path}/source/f", "", recursive=False)
    assert fs.cat_file("f") == b"1"


def test_the_whole_store_is_fetched_below_one_folder(fs, tmp_path):
    """fsspec/filesystem_spec#1244: names ran into that of the target: `desta`, `destb/c`."""
    fs.pipe({"a": b"1", "b/c": b"2"})
    fs.makedirs("empty")
    for source in ("", "/", "ds://"):
        target = tmp_path / f"to{len(source)}"
        fs.get(source, f"{target}/", recursive=True)
        found = sorted(str(path.relative_to(target)) for path in target.rglob("*"))
        assert found == ["a", "b", "b/c", "empty"]
    fs.get("a", Path(tmp_path))  # a folder that is there, as a Path
    assert (tmp_path / "a").read_bytes() == b"1"


@pytest.mark.parametrize("name", ["d/image[1].png", "what?", "a*b", "{x}", "a^b$", "(a|b)", "ü[é]"])
def test_a_name_that_looks_like_a_pattern_means_itself(fs, tmp_path, name):
    """fsspec/filesystem_spec#838, #1476, #390: not found, or another file was meant."""
    others = ["d/image1.png", "whatX", "aXXb", "x", "ab", "a", "üé"]
    fs.pipe(dict.fromkeys(others, b"other"))
    fs.pipe_file(name, b"this")
    assert fs.cat(name) == b"this"
    assert fs.expand_path(name) == [name]
    with fsspec.open(f"ds://{fs.home}!/{name}") as file:
        assert file.read() == b"this"
    fs.get(name, f"{tmp_path}/got")
    assert (tmp_path / "got").read_bytes() == b"this"
    fs.cp(name, "copy/")
    assert fs.find("copy") == [f"copy/{name.rpartition('/')[2]}"]
    fs.rm("copy", recursive=True)
    fs.mv(name, "moved")
    fs.mv("moved", name)
    fs.rm(name)
    assert fs.find("") == sorted(others)


def test_a_commit_that_fails_ends_the_transaction_and_poisons_no_later_write(fs, home):
    """fsspec/filesystem_spec#2108: instances are cached; later writes went nowhere."""
    with pytest.raises(FileExistsError), fs.transaction:
        for name in ("a", "b"):
            with fs.open(name, "xb") as file:
                file.write(b"1")
        fs.store.put("a", b"another was faster")
    assert fs.find("") == ["a"]
    later = DeepSeekFileSystem(home)
    assert later is fs
    later.pipe_file("later", b"2")
    assert later.cat_file("later") == b"2"
    with fs.transaction:
        with pytest.raises(ZeroDivisionError), fs.open("c", "wb") as file:
            file.write(b"half")
            raise ZeroDivisionError
        fs.pipe_file("d", b"whole")
        assert not fs.exists("d")
    assert fs.find("") == ["a", "d", "later"]


def test_a_folder_as_a_filesystem_of_its_own(fs):
    """fsspec/filesystem_spec#1823, #1851: transactions and slashes through `dir::`."""
    inner = DirFileSystem("base", fs)
    inner.pipe_file("a", b"1")
    inner.makedirs("d/deep")
    assert fs.find("", withdirs=True) == ["base", "base/a", "base/d", "base/d/deep"]
    assert inner.find("") == ["a"]
    inner.cp("a", "d/")
    inner.mv("a", "b")
    assert inner.find("") == ["b", "d/a"]
    with inner.open("t", "w", encoding="utf-16") as file:
        file.write("ä")
    assert inner.read_text("t", encoding="utf-16") == "ä"


def test_asking_again_gives_the_same_answer(fs):
    """fsspec/gcsfs#349, fsspec/adlfs#190: the second info() of a folder failed."""
    fs.makedirs("empty")
    fs.touch("file/")
    fs.pipe_file("a/b", b"1")
    for path in ("empty", "empty/", "/empty", "a", "a/", "file", "file/", "a/b"):
        first = fs.info(path)
        assert fs.info(path) == first == fs.info(path.rstrip("/"))
        assert fs.exists(path) and fs.isdir(path) == (first["type"] == "directory")
        assert (fs.modified(path) - datetime.now(UTC)).total_seconds() < 60
        assert fs.created(path) <= fs.modified(path)


def test_a_folder_is_as_old_as_what_is_in_it(home):
    times = iter([100.0, 200.0, 300.0, 400.0])
    with Store(home, clock=lambda: next(times, 500.0)) as store:
        for key in ("d/a", "d/e/b", "d/c"):
            store.put(key, b"1")
        fs = DeepSeekFileSystem(home)
        seconds = [version.created_s for version in map(store.stat, ("d/a", "d/e/b", "d/c"))]
        assert fs.created("d").timestamp() == min(seconds)
        assert fs.modified("d").timestamp() == max(seconds)
        assert fs.modified("d/e") == fs.created("d/e/b")
        fs.mkdir("made")
        assert fs.modified("made") >= fs.modified("d")


def _in_child(home, results):
    fs = fsspec.filesystem("ds", home=home)
    fs.pipe_file(f"child/{os.getpid()}", b"1")
    results.put(fs.cat_file("parent"))


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_of_any_kind_use_it_after_their_parent_did(fs, home, context):
    """fsspec/s3fs#369, #755, #914: they hung where the parent had read before."""
    fs.pipe_file("parent", b"content")
    held = fs.open("parent")
    assert held.read(3) == b"con"
    make = get_context(context)
    results = make.Queue()
    workers = [make.Process(target=_in_child, args=(home, results)) for _ in range(3)]
    for worker in workers:
        worker.start()
    assert [results.get(timeout=60) for _ in workers] == [b"content"] * 3
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(fs.find("child")) == 3
    assert held.read() == b"tent"
    held.close()


def test_a_cached_copy_is_not_used_once_the_file_was_written_anew(fs, home, tmp_path):
    """A cache that checks asks for `ukey`, which changes with each version."""
    options = {
        "ds": {"home": home},
        "filecache": {"cache_storage": str(tmp_path), "check_files": True},
    }
    for content in (b"1" * 10, b"2" * 10):  # of one length
        fs.pipe_file("a", content)
        with fsspec.open("filecache::ds://a", **options) as file:
            assert file.read() == content


def test_lines_are_cut_as_pythons_own_files_cut_them(fs, tmp_path):
    """`readline` and `readlines` take limits; csv, pickle and http parsers pass them."""
    content = b"one\ntwo\n\nlast without end"
    fs.pipe_file("a", content)
    (tmp_path / "a").write_bytes(content)
    for limit in (-1, 0, 1, 3, 4, 5, 100, None):
        with fs.open("a", block_size=4) as ours, (tmp_path / "a").open("rb") as theirs:
            for _ in range(8):
                assert ours.readline(limit) == theirs.readline(limit), limit
                assert ours.tell() == theirs.tell()
        with fs.open("a") as ours, (tmp_path / "a").open("rb") as theirs:
            assert ours.readlines(limit) == theirs.readlines(limit)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"]
)
def test_text_is_that_of_a_local_file_byte_for_byte(fs, home, tmp_path, encoding):
    local = tmp_path / "text"
    for mode in ("w", "a", "a"):
        with (
            fs.open("by us", mode, encoding=encoding, newline="\n") as ours,
            fsspec.open(f"ds://{home}!/by fsspec", mode, encoding=encoding, newline="\n") as theirs,
            local.open(mode, encoding=encoding, newline="\n") as file,
        ):
            for one in (file, ours, theirs):
                one.write("hä")
            assert ours.tell() == theirs.tell() == file.tell()
            for one in (file, ours, theirs):
                one.write("user\n" * 3_000)
        assert fs.cat_file("by us") == fs.cat_file("by fsspec") == local.read_bytes(), mode
    assert fs.read_text("by us", encoding=encoding) == local.read_text(encoding=encoding)
    with fs.open("none", "w", encoding=encoding):
        pass
    (tmp_path / "none").open("w", encoding=encoding).close()
    assert fs.cat_file("none") == (tmp_path / "none").read_bytes()


def test_what_asks_whether_it_may_seek_while_it_writes_still_works(fs):
    with fs.open("z.zip", "wb") as file:
        assert file.seekable()  # so far: a byte order mark may come first
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
            for number in range(5):
                packed.writestr(f"{number}", str(number) * 10_000)
        assert not file.seekable()
        with pytest.raises(OSError) as caught:
            file.seek(0)
        assert caught.value.errno == errno.ESPIPE
    with fs.open("z.zip") as file, zipfile.ZipFile(file) as packed:
        assert packed.testzip() is None
        assert packed.read("4") == b"4" * 10_000


def test_an_append_goes_where_the_file_ends_and_a_stranger_sees_all_or_none(fs):
    fs.pipe_file("log", b"")
    for number in range(20):
        with fs.open("log", "ab") as file:
            file.write(b"%d\n" % number)
        assert fs.cat_file("log").splitlines()[-1] == b"%d" % number
    assert fs.size("log") == sum(len(b"%d\n" % number) for number in range(20))
