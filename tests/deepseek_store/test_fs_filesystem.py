"""What `ds://` promises beyond fsspec's own tests: addresses, versions, folders, transactions."""

import errno
import gc
import json
import os
import pickle
import subprocess
import sys
import threading
from datetime import UTC, datetime

import fsspec
import pytest
from fs_stores import FAR, new_home, quick_folder, tier_url
from fsspec.spec import AbstractFileSystem

from deepseek_core import errors
from deepseek_store import Policy, Store
from deepseek_store.errors import GenerationMismatch, KeyRefused
from deepseek_store.fs.filesystem import DeepSeekFileSystem


@pytest.fixture
def home():
    with new_home() as home:
        yield home


# Addresses


def test_a_url_names_its_store_or_an_option_or_the_environment_does(fs, home, monkeypatch):
    fs.pipe_file("a/b", b"content")
    monkeypatch.delenv("DEEPSEEK_STORE_HOME", raising=False)
    for url, options in ((f"ds://{home}!/a/b", {}), ("ds://a/b", {"home": home})):
        with fsspec.open(url, **options) as file:
            assert file.read() == b"content"
    monkeypatch.setenv("DEEPSEEK_STORE_HOME", home)
    with fsspec.open("ds://a/b", "rt") as file:
        assert file.read() == "content"


def test_the_environment_is_asked_at_each_use(home, monkeypatch, tmp_path):
    other = tmp_path / "other"
    Store.init(other).close()
    found = fsspec.filesystem("ds")
    monkeypatch.setenv("DEEPSEEK_STORE_HOME", home)
    found.pipe_file("a", b"1")
    monkeypatch.setenv("DEEPSEEK_STORE_HOME", str(other))
    assert not found.exists("a")
    found.close()


def test_without_a_store_one_is_told_how_to_name_it(monkeypatch, tmp_path):
    monkeypatch.delenv("DEEPSEEK_STORE_HOME", raising=False)
    with pytest.raises(errors.ConfigError, match="DEEPSEEK_STORE_HOME"):
        fsspec.filesystem("ds").ls("")
    with pytest.raises(errors.ConfigError, match="ds-sdk store init"):
        fsspec.filesystem("ds", home=tmp_path).ls("")


def test_fsspecs_own_configuration_names_a_store(home, fs):
    fs.pipe_file("a", b"content")
    fs.close()
    code = 'import fsspec; print(fsspec.filesystem("ds").cat_file("a").decode())'
    environ = {**os.environ, "FSSPEC_DS_HOME": home}
    found = subprocess.run(
        [sys.executable, "-c", code], env=environ, check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "content"


def test_a_store_that_can_not_be_opened_is_not_taken_for_an_empty_one(tmp_path):
    for ask in (DeepSeekFileSystem.exists, DeepSeekFileSystem.isfile, DeepSeekFileSystem.isdir):
        with pytest.raises(errors.ConfigError, match="no store"):
            ask(DeepSeekFileSystem(tmp_path), "a")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("ds://a/b", "a/b"),
        ("ds://a/b/", "a/b"),
        ("ds:///srv/store!/a/b", "a/b"),
        ("ds:///srv/store!/", ""),
        ("ds:///srv/store!", ""),
        ("ds:///a/b", "a/b"),
        ("/a/b", "a/b"),
        ("/a!/b", "a!/b"),
        ("ds://a!/b", "a!/b"),
        ("ds://", ""),
        ("/", ""),
        ("été/ü", "été/ü"),
    ],
)
def test_urls_become_paths(url, path):
    assert DeepSeekFileSystem._strip_protocol(url) == path


def test_the_url_of_a_path_leads_back_to_it(fs, home):
    url = fs.unstrip_protocol("a/b")
    found, path = fsspec.url_to_fs(url)
    assert (found.home, path) == (fs.home, "a/b")
    assert fs.unstrip_protocol(url) == url


def test_an_instance_is_described_by_its_folder_alone(fs, home):
    again = AbstractFileSystem.from_json(fs.to_json())
    assert again == fs
    assert pickle.loads(pickle.dumps(fs)).home == fs.home
    told = json.loads(fs.to_json())
    assert set(told) <= {"cls", "protocol", "args", "home", "shared"}
    assert fs.fsid == again.fsid


# What is there


def test_info_tells_size_time_generation_and_tier(fs):
    fs.pipe_file("a/b", b"12345")
    entry = fs.info("ds://a/b/")
    assert (entry["name"], entry["size"], entry["type"]) == ("a/b", 5, "file")
    assert entry["tier"] == "hot"
    assert entry["generation"] == fs.store.stat("a/b").generation
    assert fs.ls("a") == [entry]
    assert fs.find("", detail=True) == {"a/b": entry}
    assert abs((datetime.now(UTC) - fs.modified("a/b")).total_seconds()) < 600
    assert fs.created("a/b") == fs.modified("a/b")


def test_a_checksum_changes_with_the_version_and_not_with_the_tier(request):
    with quick_folder() as folder:
        cold = tier_url("memory", request, folder)
        policy = Policy.from_json({**FAR.to_json(), "landing": "hot"})
        Store.init(folder / "store", cold=[cold], policy=policy).close()
        fs = DeepSeekFileSystem(folder / "store")
        fs.pipe_file("a", b"1")
        first = (fs.checksum("a"), fs.ukey("a"))
        fs.store.maintenance.send(["a"], "cold")
        assert fs.info("a")["tier"] == "cold"
        assert (fs.checksum("a"), fs.ukey("a")) == first
        fs.pipe_file("a", b"1")
        assert fs.checksum("a") != first[0]
        assert fs.ukey("a") != first[1]
        fs.close()


def test_listings_agree_with_a_walk_in_a_real_folder(fs, tmp_path):
    names = ["a", "b/c", "b/d/e", "b/d/f", "b.txt", "é/ü", "z/y/x/w"]
    local = fsspec.filesystem("file")
    for name in names:
        fs.pipe_file(name, b"x" * len(name))
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * len(name))
    fs.makedirs("empty/inside")
    (tmp_path / "empty/inside").mkdir(parents=True)

    def bare(found):
        return sorted(str(name).removeprefix(f"{tmp_path}/").lstrip("/") for name in found)

    for pattern in ("*", "b*", "**", "b/**", "*/*", "b/?", "z/*/x/*", "[ab]*", "empty/*", "*/"):
        expected = set(local.glob(f"{tmp_path}/{pattern}")) - {str(tmp_path)}
        assert bare(fs.glob(pattern)) == bare(expected), pattern
    for depth in (None, 1, 2, 3):
        assert bare(fs.find("b", maxdepth=depth)) == bare(local.find(f"{tmp_path}/b", depth))
        assert bare(fs.find("b", depth, withdirs=True)) == bare(
            local.find(f"{tmp_path}/b", depth, withdirs=True)
        )
    walked = {path: (sorted(folders), sorted(files)) for path, folders, files in fs.walk("")}
    assert walked["b"] == (["d"], ["c"])
    assert walked["empty"] == (["inside"], [])
    assert fs.du("") == sum(map(len, names))
    assert fs.du("b", total=False) == {"b/c": 3, "b/d/e": 5, "b/d/f": 5}


def test_what_is_not_there_is_told_apart(fs):
    fs.pipe_file("a/b", b"")
    for call in (fs.info, fs.ls, fs.cat_file, fs.rm, fs.rm_file, fs.open, fs.created, fs.rmdir):
        with pytest.raises(FileNotFoundError):
            call("nothing")
    for call in (fs.cat_file, fs.open, fs.rm_file, lambda path: fs.pipe_file(path, b"")):
        with pytest.raises(IsADirectoryError):
            call("a")
    with pytest.raises(NotADirectoryError):
        fs.pipe_file("a/b/c", b"")
    with pytest.raises(NotADirectoryError):
        fs.makedirs("a/b/c")
    assert not fs.exists("a/b/c")
    assert fs.isdir("a")
    assert fs.isfile("a/b")


@pytest.mark.parametrize("path", ["a/../b", "a//b", "./a", "a\0b", "a/" * 3_000 + "a"])
def test_names_that_no_store_takes_are_refused_and_never_found(fs, path):
    with pytest.raises(KeyRefused):
        fs.pipe_file(path, b"")
    with pytest.raises(KeyRefused):
        fs.open(path, "wb")
    assert not fs.exists(path)


# Folders


def test_an_empty_folder_stays_and_is_no_file(fs, home):
    fs.mkdir("a/b")
    assert fs.ls("a") == [{"name": "a/b", "size": 0, "type": "directory"}]
    assert fs.ls("a/b") == fs.find("") == []
    fs.close()  # another process would see the same
    assert fs.isdir("a/b")
    with pytest.raises(FileExistsError):
        fs.mkdir("a/b")
    with pytest.raises(FileExistsError):
        fs.makedirs("a/b")
    fs.makedirs("a/b", exist_ok=True)
    with pytest.raises(OSError) as caught:
        fs.rmdir("a")
    assert caught.value.errno == errno.ENOTEMPTY
    fs.rmdir("a/b")
    assert fs.isdir("a")
    assert not fs.exists("a/b")
    with pytest.raises(FileNotFoundError):
        fs.mkdir("no/such/parent", create_parents=False)


def test_a_folder_of_objects_goes_with_the_last_one(fs):
    fs.pipe({"a/b/c": b"1", "a/d": b"2"})
    fs.rm("a/b", recursive=True)
    assert fs.find("", withdirs=True) == ["a", "a/d"]
    fs.rm("a/d")
    assert fs.ls("") == []
    assert fs.isdir("")


def test_removing_a_folder_takes_all_that_is_in_it(fs):
    fs.makedirs("a/empty/deep")
    fs.pipe({f"a/{number}/x": b"1" for number in range(20)})
    fs.pipe_file("ab", b"stays")
    with pytest.raises(OSError, match="not empty"):
        fs.rm("a")
    fs.rm("a", recursive=True)
    assert fs.find("", withdirs=True) == ["ab"]
    assert len(fs.store) == 1


def test_the_object_that_keeps_a_folder_is_nobodys_file(fs):
    fs.mkdir("a")
    for call in (fs.cat_file, fs.rm_file, fs.info, fs.open):
        with pytest.raises(FileNotFoundError):
            call("a/.ds-folder")
    with pytest.raises(KeyRefused, match="marks a folder"):
        fs.pipe_file("b/.ds-folder", b"")


# Reading and writing


def test_ranges_are_those_of_slices(fs):
    content = os.urandom(1_000)
    fs.pipe_file("a", content)
    for start, end in [
        (None, None),
        (10, 20),
        (-10, None),
        (None, -990),
        (5, 5),
        (20, 10),
        (990, 2000),
    ]:
        assert fs.cat_file("a", start, end) == content[start:end]
    found = fs.cat_ranges(["a", "a", "b"], [0, 990, 0], [10, None, 1])
    assert found[:2] == [content[:10], content[990:]]
    assert isinstance(found[2], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(["a", "b"], 0, 10, on_error="raise")
    assert fs.cat(["a", "b"], on_error="omit") == {"a": content}
    assert fs.head("a", 7) == content[:7]
    assert fs.tail("a", 7) == content[-7:]


def test_many_ranges_of_a_distant_object_are_read_at_once(request):
    with quick_folder() as folder:
        Store.init(folder / "s", cold=[tier_url("local", request, folder)], policy=FAR).close()
        fs = DeepSeekFileSystem(folder / "s")
        content = os.urandom(1_000_000)
        fs.pipe_file("a", content)
        starts = list(range(0, 1_000_000, 37_000))
        ends = [start + 5_000 for start in starts]
        found = fs.cat_ranges(["a"] * len(starts), starts, ends)
        assert found == [content[a:b] for a, b in zip(starts, ends, strict=True)]
        fs.close()


def test_files_are_read_like_local_ones(fs, tmp_path):
    text = "".join(f"line {number} é\n" for number in range(50_000))
    fs.write_text("a", text)
    local = tmp_path / "a"
    local.write_text(text)
    with fs.open("a", "r") as ours, local.open() as theirs:
        assert ours.readline() == theirs.readline()
        assert list(ours) == list(theirs)
    with fs.open("a", "rb", block_size=1_000) as ours, local.open("rb") as theirs:
        for offset in (0, 400_000, 17, 650_000):
            assert ours.seek(offset) == theirs.seek(offset)
            assert ours.read(3_000) == theirs.read(3_000)
        buffer = bytearray(100)
        assert ours.readinto(buffer) == 100
        assert bytes(buffer) == theirs.read(100)
    again = pickle.loads(pickle.dumps(fs.open("a", "rb")))
    assert again.read() == text.encode()


def test_a_file_that_is_open_is_of_one_version(fs):
    old, new = os.urandom(3_000_000), os.urandom(3_000_000)
    fs.pipe_file("a", old)
    with fs.open("a", "rb", block_size=1_000) as file:
        first = file.read(1_000)
        fs.pipe_file("a", new)
        assert first + file.read() == old
    assert fs.cat_file("a") == new


def test_a_version_that_is_gone_is_never_mixed_with_another(fs):
    fs.pipe_file("a", os.urandom(3_000_000))
    with fs.open("a", "rb", block_size=1_000) as file:
        file.read(1_000)
        fs.store.parts.journal.seal()
        fs.pipe_file("a", os.urandom(3_000_000))
        fs.store.maintenance.gc()
        with pytest.raises(OSError) as caught:
            file.read()
    assert caught.value.errno == errno.ESTALE


def test_nothing_is_there_until_the_file_is_closed(fs):
    content = os.urandom(5_000_000)
    with fs.open("a", "wb") as file:
        for start in range(0, len(content), 70_000):
            file.write(content[start : start + 70_000])
        file.flush()
        assert not fs.exists("a")
        assert file.tell() == len(content)
    assert fs.cat_file("a") == content


@pytest.mark.parametrize("mode", ["wb", "w", "xb", "ab"])
def test_a_file_that_is_left_by_an_exception_is_not_stored(fs, mode):
    if mode == "ab":
        fs.pipe_file("a", b"before")
    with pytest.raises(ZeroDivisionError), fs.open("a", mode) as file:
        file.write("half" if mode == "w" else b"half")
        raise ZeroDivisionError
    gc.collect()
    assert fs.find("") == (["a"] if mode == "ab" else [])
    assert mode != "ab" or fs.cat_file("a") == b"before"


def test_any_bytes_can_be_written_and_text_in_its_encoding(fs):
    import array

    with fs.open("a", "wb") as file:
        file.write(array.array("i", [1, 2]))
        file.write(memoryview(b"xy"))
    assert fs.cat_file("a") == array.array("i", [1, 2]).tobytes() + b"xy"
    with fs.open("t", "w", encoding="utf-16", newline="\r\n") as file:
        file.write("ä\n")
    assert fs.cat_file("t").decode("utf-16") == "ä\r\n"
    with pytest.raises(ValueError, match=r"r\+b"):
        fs.open("a", "r+b")
    with fs.open("a", "wb") as file, pytest.raises(TypeError):
        file.write("text")


@pytest.mark.parametrize("compression", ["gzip", "bz2", "xz"])
def test_compressed_files_are_written_and_read(fs, compression):
    content = b"line\n" * 100_000
    with fs.open("a", "wb", compression=compression) as file:
        file.write(content)
    del file
    assert fs.size("a") < len(content) // 10
    with fs.open("a", "rt", compression=compression) as file:
        assert file.read() == content.decode()


def test_appending_keeps_what_is_there(fs):
    start = os.urandom(3_000_000)
    fs.pipe_file("a", start)
    with fs.open("a", "ab") as file:
        assert file.tell() == len(start)
        file.write(b"more")
    with fs.open("new", "a") as file:
        file.write("text")
    assert fs.cat_file("a") == start + b"more"
    assert fs.cat_file("new") == b"text"


def test_of_two_that_append_the_later_one_is_told(fs):
    fs.pipe_file("a", b"1")
    one, two = fs.open("a", "ab"), fs.open("a", "ab")
    one.write(b"2")
    two.write(b"3")
    one.close()
    with pytest.raises(GenerationMismatch):
        two.close()
    assert fs.cat_file("a") == b"12"


def test_exactly_one_of_many_creates_a_file(fs):
    created = []

    def create(number):
        try:
            if number % 2:
                fs.pipe_file("a", b"%d" % number, mode="create")
            else:
                with fs.open("a", "xb") as file:
                    file.write(b"%d" % number)
            created.append(b"%d" % number)
        except FileExistsError:
            pass

    threads = [threading.Thread(target=create, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert created == [fs.cat_file("a")]


def test_a_local_file_is_put_once_with_mode_create(fs, tmp_path):
    local = tmp_path / "local"
    local.write_bytes(b"content")
    fs.put_file(local, "a", mode="create")
    with pytest.raises(FileExistsError):
        fs.put_file(str(local), "a", mode="create")
    assert fs.cat_file("a") == b"content"


def test_touch_makes_a_file_or_makes_it_new(fs):
    fs.touch("a")
    assert fs.cat_file("a") == b""
    fs.pipe_file("a", b"content")
    before = fs.info("a")
    fs.touch("a", truncate=False)
    assert fs.cat_file("a") == b"content"
    assert fs.info("a")["generation"] > before["generation"]
    assert fs.info("a")["mtime"] >= before["mtime"]


# Transactions


def test_a_transaction_shows_all_its_files_at_its_end(fs):
    with fs.transaction:
        for name in ("a", "b"):
            with fs.open(name, "wb") as file:
                file.write(name.encode())
        fs.pipe_file("c", b"c")
        assert fs.find("") == []
    assert fs.cat(["a", "b", "c"]) == {"a": b"a", "b": b"b", "c": b"c"}


def test_a_transaction_that_fails_stores_nothing(fs):
    with pytest.raises(ZeroDivisionError), fs.transaction:
        with fs.open("a", "wb") as file:
            file.write(b"content")
        raise ZeroDivisionError
    assert fs.find("") == []
    fs.pipe_file("a", b"later")
    assert fs.cat_file("a") == b"later"


# Copies and moves


def test_copies_and_moves_write_no_bytes(fs):
    content = os.urandom(2_000_000)
    fs.pipe_file("a", content)
    fs.store.parts.journal.seal()
    stored = sum(row.nbytes for row in fs.store.parts.state.segments.values())
    fs.cp_file("a", "b/copy")
    fs.mv("a", "c")
    fs.mv("b", "d", recursive=True)
    fs.store.parts.journal.seal()
    assert sum(row.nbytes for row in fs.store.parts.state.segments.values()) - stored < 10_000
    assert fs.find("") == ["c", "d/copy"]
    assert fs.cat_file("c") == fs.cat_file("d/copy") == content


def test_a_file_is_moved_as_a_local_one_would_be(fs):
    fs.pipe({"a": b"1", "old": b"2"})
    fs.makedirs("folder")
    fs.mv("a", "folder")
    assert fs.cat_file("folder/a") == b"1"
    fs.mv("folder/a", "old")
    assert fs.cat_file("old") == b"1"
    fs.mv("old", "new/")
    assert fs.cat_file("new/old") == b"1"
    fs.mv("new/old", "new/old")
    assert fs.find("") == ["new/old"]
    with pytest.raises(FileNotFoundError):
        fs.mv("nothing", "x")
    with pytest.raises(NotADirectoryError):
        fs.mv("new/old", "new/old/inside")


def test_copying_onto_a_folder_is_refused(fs):
    fs.pipe({"a": b"1", "b/c": b"2"})
    with pytest.raises(IsADirectoryError):
        fs.cp_file("a", "b")
    with pytest.raises(FileNotFoundError):
        fs.cp_file("nothing", "x")


def test_urls_can_not_be_signed(fs):
    with pytest.raises(NotImplementedError):
        fs.sign("a")
