"""SQLite files that are cut off, overwritten, foreign, full or out of reach."""

import os
import random
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from index_places import STORE, in_processes

from deepseek_core import errors
from deepseek_store.errors import ForeignStore
from deepseek_store.index.base import Index
from deepseek_store.index.catalog import Catalog
from deepseek_store.index.opening import open_index
from deepseek_store.index.rows import Batch, SegmentRow, StripeRow, Version
from deepseek_store.index.sqlite import SqliteDatabase, SqliteIndex


def _versions(count: int, first: int = 1) -> list[Version]:
    return [
        Version(key=f"k/{n:06d}", generation=n, writer=1, extents=bytes(32))
        for n in range(first, first + count)
    ]


def _made(folder: Path) -> Path:
    path = folder / "index.sqlite"
    with SqliteIndex(path, STORE, create=True) as index:
        index.commit(
            Batch(
                versions=_versions(500),
                segments=[SegmentRow(id=n, writer=1, state="sealed") for n in range(40)],
                stripes=[
                    StripeRow(id=n, tier="cold", generation=1, code="rs", places=bytes(99))
                    for n in range(40)
                ],
            )
        )
    assert not path.with_name("index.sqlite-wal").exists()
    return path


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _cut_within_the_header(path: Path) -> None:
    os.truncate(path, 60)


def _empty(path: Path) -> None:
    os.truncate(path, 0)


def _remove(path: Path) -> None:
    path.unlink()


def _overwrite_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"GARBAGE" * 20)


def _overwrite_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(os.urandom(path.stat().st_size - 4096))


def _replace_by_text(path: Path) -> None:
    path.write_text("this is no database\n" * 1000, encoding="utf-8")


def _replace_by_another_database(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE versions (key TEXT)")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "harm",
    [
        _cut, _cut_within_the_header, _empty, _remove, _overwrite_header, _overwrite_pages,
        _replace_by_text, _replace_by_another_database,
    ],
)  # fmt: skip
def test_a_damaged_or_foreign_file_is_refused_with_a_remedy(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = _made(tmp_path)
    harm(path)
    with pytest.raises(ForeignStore) as refused:
        _read_all(path)
    # As a shell takes it, with the home.
    assert f"`ds-sdk store rebuild {tmp_path}`" in refused.value.remedy
    assert str(path) in refused.value.url


@pytest.mark.parametrize(
    "harm", [_cut, _overwrite_header, _replace_by_text, _replace_by_another_database]
)
def test_creating_does_not_write_over_what_is_no_index(
    tmp_path: Path, harm: Callable[[Path], None]
) -> None:
    path = _made(tmp_path)
    harm(path)
    before = path.read_bytes()
    with pytest.raises(ForeignStore), SqliteIndex(path, STORE, create=True) as index:
        index.load(Catalog())
    assert path.read_bytes() == before


def _read_all(path: Path) -> Catalog:
    with SqliteIndex(path, STORE) as index:
        catalog = Catalog()
        index.load(catalog)
        index.segments()
        index.stripes()
        index.changes_since(0)
        index.pins()
        return catalog


def test_random_damage_is_refused_or_harmless_and_never_another_error(tmp_path: Path) -> None:
    rng = random.Random(6)
    sound = _made(tmp_path).read_bytes()
    refused = 0
    for n in range(150):
        path = tmp_path / f"{n}.sqlite"
        content = bytearray(sound)
        for _ in range(rng.choice((1, 30, 300))):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            _read_all(path)
        except ForeignStore:
            refused += 1
    assert refused > 20


def test_a_full_disk_is_told_and_takes_nothing_with_it(tmp_path: Path) -> None:
    path = _made(tmp_path)
    with SqliteIndex(path, STORE) as index:
        database = index._database
        assert isinstance(database, SqliteDatabase) and database._writer is not None
        pages = database._writer.execute("PRAGMA page_count").fetchone()[0]
        # What SQLite does when the file can't grow, without filling this machine's disk.
        database._writer.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(errors.TierFull, match="free space"):
            index.commit(Batch(versions=_versions(5000, first=1000)))
        database._writer.execute("PRAGMA max_page_count=1000000")
        index.commit(Batch(versions=_versions(1, first=900)))
    assert len(_read_all(path)) == 501


def _open_as_nobody(folder: Path) -> None:
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    with pytest.raises(errors.TierUnavailable, match="may be written to"):
        SqliteIndex(folder / "new.sqlite", STORE, create=True)
    with (
        pytest.raises(errors.TierUnavailable, match="may be written to"),
        SqliteIndex(folder / "index.sqlite", STORE) as index,
    ):
        index.commit(Batch(versions=_versions(1, first=900)))


def test_a_folder_that_may_not_be_written_to_is_told() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = _made(Path(folder))
        path.chmod(0o444)
        path.with_name(path.name + ".locks").chmod(0o444)
        Path(folder).chmod(0o555)
        in_processes(_open_as_nobody, [(Path(folder),)])
        Path(folder).chmod(0o755)


def test_a_folder_that_is_not_there_and_a_folder_in_place_of_the_file_are_told(
    tmp_path: Path,
) -> None:
    (tmp_path / "index.sqlite").mkdir()
    for path in (tmp_path / "none" / "index.sqlite", tmp_path / "index.sqlite"):
        with pytest.raises(errors.TierUnavailable):
            SqliteIndex(path, STORE, create=True)


def _die_in_a_transaction(path: Path) -> None:
    index = SqliteIndex(path, STORE)
    index.commit(Batch(versions=_versions(1, first=600)))
    index.commit(Batch(versions=_versions(1, first=601), durable=True))

    def half(transaction: object, seq: int) -> None:
        index._database._writer.execute("DELETE FROM versions")  # type: ignore[attr-defined]
        os._exit(0)

    index._transact(half)


def test_a_process_that_dies_in_a_commit_leaves_all_before_and_nothing_of_it(
    tmp_path: Path,
) -> None:
    path = _made(tmp_path)
    in_processes(_die_in_a_transaction, [(path,)])
    assert len(_read_all(path)) == 502


def test_a_durable_commit_is_flushed_and_the_next_one_is_not(tmp_path: Path) -> None:
    with SqliteIndex(_made(tmp_path), STORE) as index:
        levels = []

        def look(transaction: object, seq: int) -> None:
            writer = index._database._writer  # type: ignore[attr-defined]
            levels.append(writer.execute("PRAGMA synchronous").fetchone()[0])

        for durable in (False, True, False):
            index._transact(look, durable=durable)
    assert levels == [1, 2, 1]  # NORMAL, FULL


def test_two_that_create_it_at_once_get_one_index(tmp_path: Path) -> None:
    in_processes(_create, [(tmp_path, n) for n in range(4)])
    with open_index("sqlite", tmp_path, STORE) as index:
        assert index.poll() == 4


def _create(folder: Path, n: int) -> None:
    with open_index("sqlite", folder, STORE, create=True) as index:
        index.commit(Batch(versions=_versions(1, first=n + 1)))


def test_an_index_names_itself_by_its_url(tmp_path: Path) -> None:
    index: Index = SqliteIndex(tmp_path / "index.sqlite", STORE, create=True)
    assert repr(index) == f"SqliteIndex('sqlite:{tmp_path / 'index.sqlite'}')"
    index.close()


def test_another_kind_of_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="postgresql://"):
        open_index("mysql://host/db", tmp_path, STORE)
