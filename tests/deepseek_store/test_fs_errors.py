"""Errors of `ds://` are those of files, with their numbers, and the store's own at once."""

import errno
import os
import pickle
import random
import shutil
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import fsspec
import pytest
from fs_stores import FAR, new_home, quick_folder, tier_url
from store_kit import SMALL
from test_store_full_disk import FullDisk

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.errors import Corrupt, GenerationMismatch, KeyRefused, ReadOnlyStore
from deepseek_store.fs.filesystem import DeepSeekFileSystem
from deepseek_store.fs.to_os_error import (
    FileCorrupt,
    FileError,
    FileForbidden,
    FileUnavailable,
    NoRoom,
    os_error,
)
from deepseek_store.log.segment import sealed_name


@pytest.fixture
def home():
    with new_home(policy=SMALL) as home:
        yield home


def caught(number, kind, call):
    """The error of a call, checked."""
    with pytest.raises(kind) as found:
        call()
    error = found.value
    assert isinstance(error, OSError)
    assert error.errno == number, (error, error.errno)
    assert error.filename
    return error


@pytest.mark.parametrize("path", ["a/../b", "a//b", "./a", "a\0b", "a/" * 3_000 + "a", "\ud800"])
def test_names_that_can_not_be_are_einval_or_too_long(fs, path):
    number = errno.ENAMETOOLONG if len(path) > 1_000 else errno.EINVAL
    for call in (
        lambda: fs.pipe_file(path, b""),
        lambda: fs.open(path, "wb"),
        lambda: fs.touch(path),
        lambda: fs.mkdir(path),
        lambda: fs.cp_file("good", path),
        lambda: fs.mv("good", path),
    ):
        fs.pipe_file("good", b"1")
        error = caught(number, KeyRefused, call)
        assert isinstance(error, ValueError)  # as of open() for a NUL
        assert error.remedy
        assert type(error.__cause__) is KeyRefused
    assert fs.find("") == ["good"]


def test_files_and_folders_are_told_apart_by_number(fs):
    fs.pipe({"a": b"", "d/x": b"", "full/y": b""})
    for number, call in (
        (errno.ENOENT, lambda: fs.cat_file("none")),
        (errno.ENOENT, lambda: fs.open("none")),
        (errno.ENOENT, lambda: fs.info("none")),
        (errno.ENOENT, lambda: fs.ls("none")),
        (errno.ENOENT, lambda: fs.rm("none")),
        (errno.ENOENT, lambda: fs.rm_file("none")),
        (errno.ENOENT, lambda: fs.rmdir("none")),
        (errno.ENOENT, lambda: fs.cp("none", "x")),
        (errno.ENOENT, lambda: fs.mv("none", "x")),
        (errno.ENOENT, lambda: fs.get("none", "/tmp/x")),
        (errno.ENOENT, lambda: fs.modified("none")),
        (errno.ENOENT, lambda: fs.mkdir("no/parent", create_parents=False)),
        (errno.EISDIR, lambda: fs.cat_file("d")),
        (errno.EISDIR, lambda: fs.open("d")),
        (errno.EISDIR, lambda: fs.open("d", "wb")),
        (errno.EISDIR, lambda: fs.pipe_file("d", b"")),
        (errno.EISDIR, lambda: fs.cp_file("a", "d")),
        (errno.EISDIR, lambda: fs.rm_file("d")),
        (errno.ENOTDIR, lambda: fs.pipe_file("a/b", b"")),
        (errno.ENOTDIR, lambda: fs.open("a/b", "wb")),
        (errno.ENOTDIR, lambda: fs.mkdir("a/b")),
        (errno.ENOTDIR, lambda: fs.rmdir("a")),
        (errno.ENOTDIR, lambda: fs.mv("d/x", "a/b")),
        (errno.EEXIST, lambda: fs.open("a", "xb")),
        (errno.EEXIST, lambda: fs.pipe_file("a", b"", mode="create")),
        (errno.EEXIST, lambda: fs.pipe_file("d", b"", mode="create")),
        (errno.EEXIST, lambda: fs.mkdir("d")),
        (errno.EEXIST, lambda: fs.makedirs("a", exist_ok=True)),
        (errno.ENOTEMPTY, lambda: fs.rmdir("full")),
        (errno.ENOTEMPTY, lambda: fs.rm("full")),
        (errno.EINVAL, lambda: fs.mv("full", "full/inside", recursive=True)),
    ):
        caught(number, OSError, call)
    assert fs.find("") == ["a", "d/x", "full/y"]


def test_a_mode_that_objects_do_not_have_is_unsupported(fs):
    import io

    fs.pipe_file("a", b"1")
    for mode in ("r+b", "w+b", "a+b", "r+", "rwb"):
        with pytest.raises((io.UnsupportedOperation, ValueError)):
            fs.open(mode=mode, path="a")
    with fs.open("a", "wb") as file:
        with pytest.raises(OSError) as found:
            file.seek(0)
        assert found.value.errno == errno.ESPIPE


def test_who_appends_and_was_overtaken_holds_a_stale_file(fs):
    fs.pipe_file("a", b"1")
    file = fs.open("a", "ab")
    file.write(b"2")
    fs.pipe_file("a", b"new")
    error = caught(errno.ESTALE, GenerationMismatch, file.close)
    assert error.found == fs.info("a")["generation"]


def test_a_disk_without_room_is_enospc(home):
    disk = FullDisk()
    with Store(home, disk=disk):
        fs = DeepSeekFileSystem(home)
        disk.left_nbytes = 300_000
        rng = random.Random(1)
        for call in (
            lambda: fs.pipe_file("big", rng.randbytes(3_000_000)),
            lambda: fs.touch("x" * 3_000) or [fs.touch(f"{n}" * 3_000) for n in range(200)],
            lambda: fs.open("big", "wb").write(rng.randbytes(3_000_000)),
        ):
            error = caught(errno.ENOSPC, errors.TierFull, call)
            assert isinstance(error.__cause__, errors.TierFull) and error.remedy
        assert not fs.exists("big")
        file = fs.open("part", "wb")
        with pytest.raises(OSError):
            file.write(rng.randbytes(3_000_000))
        disk.left_nbytes = 9_000_000
        file.close()
        with pytest.raises(ValueError, match="closed"):
            file.write(b"more")
        assert not fs.exists("part")


def _damaged(home, how):
    content = random.Random(1).randbytes(200_000)
    with Store(home) as store:
        store.put("a", content)
        store.put("b", b"whole")
        store.parts.journal.seal()
        version = store.parts.state.catalog.get("a")
        from deepseek_store.log.records import unpack_extents

        extent = unpack_extents(version.extents)[1]
        path = store.home / "log" / sealed_name(extent.segment)
    data = bytearray(path.read_bytes())
    data[extent.offset + 5] ^= 1
    path.unlink()
    if how == "flipped":
        path.write_bytes(data)


def test_damaged_bytes_are_eio_and_never_returned(home):
    _damaged(home, "flipped")
    fs = DeepSeekFileSystem(home)

    def read():
        with fs.open("a") as file:
            return file.read()

    for call in (
        read,
        lambda: fs.cat_file("a"),
        lambda: fs.cat("a"),
        lambda: fs.tail("a", 190_000),
    ):
        error = caught(errno.EIO, Corrupt, call)
        assert isinstance(error, FileCorrupt)
        assert error.remedy
    found = fs.cat_ranges(["a", "b"], [0, 0], [None, None])
    assert isinstance(found[0], Corrupt) and found[1] == b"whole"
    assert fs.cat(["a", "b"], on_error="omit") == {"b": b"whole"}


def _read_in_child(home):
    return DeepSeekFileSystem(home).cat_file("a")


def test_an_error_comes_whole_out_of_another_process(home):
    _damaged(home, "flipped")
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        error = caught(errno.EIO, FileCorrupt, pool.submit(_read_in_child, home).result)
    assert error.filename == "a" and error.remedy and error.url
    again = pickle.loads(pickle.dumps(error))
    assert (again.errno, again.filename, str(again)) == (errno.EIO, "a", str(error))


def test_a_store_that_is_open_for_reading_only_is_erofs(home):
    fs = DeepSeekFileSystem(home)
    fs.pipe({"a": b"1", "d/x": b"2"})
    fs.mkdir("empty")
    reader = DeepSeekFileSystem(home, read_only=True)  # beside one that writes, in one process
    for call in (
        lambda: reader.pipe_file("b", b""),
        lambda: reader.open("b", "wb"),
        lambda: reader.open("a", "ab"),
        lambda: reader.open("t", "w"),
        lambda: reader.touch("b"),
        lambda: reader.mkdir("m"),
        lambda: reader.rmdir("empty"),
        lambda: reader.rm("a"),
        lambda: reader.rm("d", recursive=True),
        lambda: reader.cp("a", "b"),
        lambda: reader.mv("a", "b"),
        lambda: reader.put_file(__file__, "b"),
    ):
        assert isinstance(caught(errno.EROFS, ReadOnlyStore, call), PermissionError)
    assert fs.find("", withdirs=True) == ["a", "d", "d/x", "empty"]
    fs.pipe_file("later", b"3")  # who writes still does
    assert reader.cat_file("later") == b"3"
    assert pickle.loads(pickle.dumps(reader)).read_only
    assert reader.close()
    assert fs.cat_file("later") == b"3"


def test_a_tier_that_is_away_is_an_oserror_that_may_pass(request):
    with quick_folder() as folder:
        url = tier_url("local", request, folder)
        Store.init(folder / "s", cold=[url], policy=FAR).close()
        fs = DeepSeekFileSystem(folder / "s")
        fs.pipe_file("a", os.urandom(300_000))
        fs.close()
        (tier,) = folder.glob("fs-*")
        shutil.move(tier, folder / "away")
        try:
            fs = DeepSeekFileSystem(folder / "s")
            with pytest.raises(OSError) as found:
                fs.cat_file("a")
            assert found.value.errno is not None
        finally:
            fs.close()


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.EACCES, FileForbidden), (errno.EPERM, FileForbidden),
                         (errno.ETIMEDOUT, FileUnavailable), (None, FileUnavailable)]
)  # fmt: skip
def test_the_number_of_the_disk_is_kept(number, kind):
    try:
        try:
            raise OSError(number, "of the disk") if number else OSError("of the disk")
        except OSError as cause:
            raise errors.TierUnavailable("away", url="s3://bucket", remedy="mount it") from cause
    except errors.TierUnavailable as error:
        told = os_error(error, "a")
    assert type(told) is kind and told.errno == (number or errno.EIO)
    assert isinstance(told, PermissionError) == (kind is FileForbidden)
    assert told.retryable and told.url == "s3://bucket" and told.remedy == "mount it"


def test_room_that_a_quota_ends_says_so():
    error = errors.TierFull("full", url="s3://bucket")
    error.__cause__ = OSError(errno.EDQUOT, "quota")
    assert os_error(error, "a").errno == errno.EDQUOT
    assert isinstance(os_error(error, "a"), NoRoom)


def test_what_is_not_about_a_file_is_no_oserror(tmp_path):
    for error in (errors.ConfigError("x"), errors.ObjectMissing("x", url="u")):
        assert os_error(error, "a") is error
    fs = fsspec.filesystem("ds", home=tmp_path)
    for ask in (fs.exists, fs.isdir, fs.isfile, fs.ls, fs.find, lambda p: list(fs.walk(p))):
        with pytest.raises(errors.ConfigError) as found:  # else walk() would say: empty
            ask("a")
        assert not isinstance(found.value, OSError)


def test_each_of_them_is_ours_and_an_oserror():
    kinds = FileError.__subclasses__()
    assert len(kinds) >= 6
    for kind in kinds:
        assert issubclass(kind, OSError) and len(kind.__mro__) > 4
