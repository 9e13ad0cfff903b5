"""A store that is open for reading only shows all, changes nothing, and says why."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from home_kit import Operator, refused
from store_kit import data_of

from deepseek_store import Store
from deepseek_store.errors import ReadOnlyStore, StoreLocked

CHANGES: dict[str, Callable[[Store], object]] = {
    "put": lambda store: store.put("x", b"x"),
    "put, not durable": lambda store: store.put("x", b"x", durable=False),
    "put of several shards": lambda store: store.put_stream("x", [bytes(9 << 20)]),
    "put into a tier": lambda store: store.put("x", b"x", tier="cold"),
    "compare and set": lambda store: store.put("x", b"x", if_generation=0),
    "upload": lambda store: store.begin("x").commit(),
    "delete": lambda store: store.delete("hot/1"),
    "rename": lambda store: store.rename("hot/1", "y"),
    "copy": lambda store: store.copy("hot/1", "y"),
    "send": lambda store: store.maintenance.send(["hot/1"], "cold"),
    "bring back": lambda store: store.maintenance.send(["cold/1"], "hot"),
    "pin": lambda store: store.maintenance.pin("hot/", "hot"),
    "snapshot": lambda store: store.snapshot("now"),
    "drop a snapshot": lambda store: store.drop_snapshot("then"),
    "collect": lambda store: store.maintenance.gc(),
}
WRITER = """
import os, signal, sys
from deepseek_store import Store
from store_kit import data_of
store = Store(sys.argv[1])
for number in range(12):
    store.put(f"w/{number}", data_of(f"w/{number}"))
store.delete("hot/0")
os.kill(os.getpid(), signal.SIGKILL)
"""
READER = """
import sys
from deepseek_store import Store
from store_kit import data_of
with Store(sys.argv[1]) as store:
    keys = [info.key for info in store.list()]
    wrong = [key for key in keys if bytes(store.get(key)) != data_of(key)]
    print(len(keys), wrong, bool(store.read_only), store.maintenance.fsck().findings)
"""


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    made = Operator(tmp_path)
    with made.init() as store:
        made.put(store, "cold", 6, tier="cold")
        made.put(store, "hot", 6)
        store.snapshot("then")
    return made


def _run(code: str, *arguments: str, plain: bool = False) -> subprocess.CompletedProcess[str]:
    """Run it; as somebody who may not write everywhere, if `plain`."""
    # Root writes everywhere: setpriv takes that right away.
    drop = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    words = [*(drop if plain and not os.geteuid() else []), sys.executable]
    return subprocess.run(
        [*words, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
        timeout=60,
    )


def _facts(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files below a folder, but for those that SQLite makes to look into its own."""
    return {
        str(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.mark.parametrize("what", CHANGES)
def test_every_change_is_refused_and_nothing_is_changed(operator: Operator, what: str) -> None:
    before = _facts(operator.folder)
    with operator.open(read_only=True) as store:
        error = refused(lambda: CHANGES[what](store))
        assert isinstance(error, ReadOnlyStore)
        assert isinstance(error, PermissionError)
        assert error.remedy
        assert operator.lost(store) == {}
        assert bytes(store.get("hot/1", snapshot="then")) == data_of("hot/1")
    assert _facts(operator.folder) == before


def test_what_only_looks_works(operator: Operator) -> None:
    before = _facts(operator.folder)
    with operator.open(read_only=True, background=True) as store:
        assert store.read_only
        assert store.stat("hot/1").nbytes == 20_000
        assert len(list(store.list())) == len(store) == 12
        assert store.maintenance.explain("cold/1").tier == "cold"
        assert store.maintenance.fsck(deep=True).findings == ()
        assert store.maintenance.scrub().ok
        store.maintenance.plan()
        assert not store.maintenance.gc(dry_run=True).segments
        assert [row.name for row in store.snapshots()] == ["then"]
        store.flush()
    assert _facts(operator.folder) == before


def test_it_sees_what_a_killed_writer_has_left_and_leaves_it_so(operator: Operator) -> None:
    assert _run(WRITER, str(operator.home)).returncode < 0
    operator.kept += [f"w/{number}" for number in range(12)]
    operator.kept.remove("hot/0")
    before = _facts(operator.folder)
    for _ in range(2):
        with operator.open(read_only=True) as store:
            assert operator.lost(store) == {}
            assert not store.exists("hot/0")
            assert len(store) == len(operator.kept)
    assert _facts(operator.folder) == before
    with operator.open() as store:
        assert operator.lost(store) == {}


@pytest.mark.parametrize("killed", [False, True])
def test_it_comes_by_itself_where_the_home_may_not_be_written(
    operator: Operator, killed: bool
) -> None:
    count = 12
    if killed:
        assert _run(WRITER, str(operator.home)).returncode < 0
        count += 11
    everything = [operator.home, *operator.home.rglob("*")]
    for path in everything:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        before = _facts(operator.home)
        done = _run(READER, str(operator.home), plain=True)
        assert done.stdout.split(maxsplit=1) == [str(count), "[] True ()\n"], done.stderr
        assert "may not be written" in done.stderr
        assert _facts(operator.home) == before
        assert set(everything[1:]) == set(operator.home.rglob("*"))
    finally:
        for path in everything:
            path.chmod(path.stat().st_mode | 0o200)


def test_readers_share_a_store_among_them_and_with_those_who_share_it(operator: Operator) -> None:
    with operator.open(shared=True) as writer:
        with operator.open(read_only=True) as one, operator.open(read_only=True) as two:
            writer.put("new", data_of("new"))
            writer.delete("hot/1")
            operator.kept.remove("hot/1")
            for reader in (one, two):
                assert bytes(reader.get("new")) == data_of("new")
                assert not reader.exists("hot/1")
                assert operator.lost(reader) == {}
        with pytest.raises(StoreLocked):
            operator.open()


def test_who_has_it_alone_is_not_read_beside(operator: Operator) -> None:
    with operator.open(), pytest.raises(StoreLocked):
        operator.open(read_only=True)
    with operator.open(read_only=True), pytest.raises(StoreLocked):
        operator.open()


def test_there_has_to_be_a_store(tmp_path: Path) -> None:
    assert "init" in str(refused(lambda: Store(tmp_path / "none", read_only=True)))
