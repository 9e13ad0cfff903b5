"""A name in the log that is taken stays with the file that has it."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from home_kit import Operator
from store_kit import data_of

from deepseek_core import errors
from deepseek_store import Store
from deepseek_store.log import new_names
from deepseek_store.log.file_disk import FileDisk
from deepseek_store.log.new_names import rename_new
from deepseek_store.log.recovery import copy_file
from deepseek_store.log.segment import active_name, sealed_name


def _deny(code: int) -> Callable[..., None]:
    def denied(*_arguments: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    return denied


WAYS = {
    "renameat2": {},
    "link, on a kernel without renameat2": {"_exchange_free": errno.ENOSYS},
    "link, on NFS": {"_exchange_free": errno.EINVAL},
    "claim, where links are not permitted": {"_exchange_free": errno.EINVAL, "_link": errno.EPERM},
    "claim, where there are none": {"_exchange_free": errno.ENOSYS, "_link": errno.EOPNOTSUPP},
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, code in WAYS[request.param].items():
        monkeypatch.setattr(new_names, name, _deny(code))
    return str(request.param)


@pytest.mark.usefixtures("way")
class TestEveryWay:
    """However a file system can do it."""

    def test_a_free_name_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "old").write_bytes(b"mine")
        rename_new(f"{tmp_path}/old", f"{tmp_path}/new")
        assert [path.name for path in tmp_path.iterdir()] == ["new"]
        assert (tmp_path / "new").read_bytes() == b"mine"

    def test_a_taken_name_is_refused_and_both_files_stay(self, tmp_path: Path) -> None:
        (tmp_path / "old").write_bytes(b"mine")
        (tmp_path / "new").write_bytes(b"theirs")
        with pytest.raises(FileExistsError):
            rename_new(f"{tmp_path}/old", f"{tmp_path}/new")
        assert (tmp_path / "old").read_bytes() == b"mine"
        assert (tmp_path / "new").read_bytes() == b"theirs"

    def test_what_is_not_there_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(errors.ObjectMissing):
            FileDisk(tmp_path).rename("old", "new")
        assert list(tmp_path.iterdir()) == []

    def test_a_store_lives_on_it(self, tmp_path: Path) -> None:
        operator = Operator(tmp_path)
        with operator.init() as store:
            operator.put(store, "a", 30)
        with operator.open() as store:
            operator.put(store, "b", 30, tier="cold")
            store.maintenance.gc()
            assert operator.lost(store) == {}
            assert store.maintenance.fsck(deep=True).findings == ()


def test_other_errors_are_not_tried_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_names, "_exchange_free", _deny(errno.EIO))
    (tmp_path / "old").write_bytes(b"mine")
    with pytest.raises(errors.TierUnavailable):
        FileDisk(tmp_path).rename("old", "new")


@pytest.mark.parametrize("left", ["both names", "an empty new one"])
def test_a_crash_between_two_steps_costs_nothing(tmp_path: Path, left: str) -> None:
    operator = Operator(tmp_path)
    with operator.init(cold=[]) as store:
        operator.put(store, "a", 3)
    log = operator.home / "log"
    (sealed,) = log.glob("segment-*")
    number = int(sealed.stem.rpartition("-")[2], 16)
    if left == "both names":
        os.link(sealed, log / active_name(number))
    else:
        sealed.rename(log / active_name(number))
        sealed.touch()
        (operator.home / "index.sqlite").unlink()
        Store.rebuild(operator.home)
    with operator.open() as store:
        assert operator.lost(store) == {}
        assert [path.name for path in log.glob("*.seg")] == [sealed.name]
        assert store.maintenance.fsck(deep=True).findings == ()


def test_a_number_whose_file_is_there_is_passed_over(tmp_path: Path) -> None:
    operator = Operator(tmp_path)
    with operator.init(cold=[]) as store:
        operator.put(store, "a", 3)
        following = store.parts.state.index.counters()["segment"]
        there = {}
        for step, name in ((1, sealed_name), (2, active_name), (3, sealed_name)):
            path = operator.home / "log" / name(following + step)
            path.write_bytes(b"somebody else's")
            there[path] = path.read_bytes()
        operator.put(store, "b", 60)
        store.parts.journal.seal()
        operator.put(store, "c", 3)
        assert operator.lost(store) == {}
        assert {path: path.read_bytes() for path in there} == there


def test_a_copy_takes_the_place_of_a_damaged_one_and_never_of_another(tmp_path: Path) -> None:
    folders = []
    for name in ("one", "two"):
        with Store.init(tmp_path / name) as store:
            store.put("key", data_of(name))
        folders.append(tmp_path / name / "log")
    source, target = folders
    (path,) = source.glob("segment-*")
    (theirs,) = target.glob("segment-*")
    assert path.name == theirs.name
    other = theirs.read_bytes()
    copy_file(FileDisk(source), FileDisk(target), path.name)
    assert theirs.read_bytes() == path.read_bytes()
    (aside,) = target.glob("aside-*")
    assert aside.read_bytes() == other
    # The same segment, with a bit flipped, is no other one.
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    theirs.write_bytes(damaged)
    copy_file(FileDisk(source), FileDisk(target), path.name)
    assert theirs.read_bytes() == path.read_bytes()
    assert len(list(target.glob("aside-*"))) == 1
    shutil.rmtree(tmp_path / "one")
