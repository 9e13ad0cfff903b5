"""The history keeps what was measured, whatever happens to its file."""

import contextlib
import math
import sqlite3
import threading

import pytest

from deepseek_core import LatencyClass
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.runtime.history import History, Record
from deepseek_core.schedule.cost import Sample

KEY = "device", "stage", LatencyClass.OFFLINE


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "history.sqlite"


def test_samples_outlive_the_session_and_keys_do_not_mix(path):
    first = History(path)
    first.add(*KEY, (Sample(8, 0.25), Sample(16, 0.5)))
    first.close()
    second = History(path)
    assert second.samples(*KEY) == (Sample(8, 0.25), Sample(16, 0.5))
    assert second.samples("device", "stage", LatencyClass.REALTIME) == ()
    assert second.samples("other", "stage", LatencyClass.OFFLINE) == ()
    second.close()


def test_only_the_newest_samples_of_a_size_are_kept(path):
    history = History(path)
    for index in range(100):
        history.add(*KEY, (Sample(8, index + 1),))
    history.add(*KEY, (Sample(4, 1.0),))
    kept = [s.seconds for s in history.samples(*KEY) if s.batch == 8]
    assert kept == list(range(69, 101))
    assert Sample(4, 1.0) in history.samples(*KEY)
    history.close()


@pytest.mark.parametrize("content", [b"not a database", b"SQLite format 3\x00" + b"\xff" * 4096])
def test_a_corrupt_file_is_set_aside_and_told(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    history = History(path)
    assert "set aside" in history.notice
    assert "ds-sdk calibrate" in history.notice
    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == content
    history.add(*KEY, (Sample(1, 1.0),))
    assert history.samples(*KEY) == (Sample(1, 1.0),)
    history.close()


def test_a_database_of_another_schema_is_set_aside(path):
    path.parent.mkdir()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE samples (foreign_column TEXT)")
    db.close()
    history = History(path)
    assert "set aside" in history.notice
    history.close()


def test_two_sessions_write_one_file_at_once(path):
    histories = [History(path) for _ in range(4)]

    def work(index):
        for turn in range(20):
            histories[index].add("d", f"s{index}", LatencyClass.OFFLINE, (Sample(1, turn + 1),))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(4):
        assert len(histories[0].samples("d", f"s{index}", LatencyClass.OFFLINE)) == 20
    for history in histories:
        history.close()
        history.close()


def test_a_folder_in_its_place_is_a_clear_error(path):
    path.mkdir(parents=True)
    with pytest.raises(ConfigError, match="history"):
        History(path)


def opened(path):
    """The tables as another program sees them."""
    History(path).close()
    return contextlib.closing(sqlite3.connect(path, isolation_level=None))


def test_a_column_more_does_no_harm(path):
    with opened(path) as db:
        db.execute("ALTER TABLE samples ADD COLUMN temperature REAL")
    history = History(path)
    history.add(*KEY, (Sample(1, 1.0),))
    assert history.samples(*KEY) == (Sample(1, 1.0),)
    assert history.notice is None
    history.close()


def test_tables_of_a_newer_version_are_left_alone_and_told(path):
    with opened(path) as db:
        db.execute("PRAGMA user_version = 7")
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="version 7, this one knows 1") as caught:
        History(path)
    assert "update deepseek-core" in caught.value.remedy
    assert path.read_bytes() == before


def test_samples_that_are_no_times_are_passed_over(path):
    rows = [(1, "slow"), (1, float("inf")), (1, 0.0), (1, -1.0), (0, 1.0), ("many", 1.0), (4, 2.0)]
    with opened(path) as db:
        db.executemany("INSERT INTO samples VALUES ('device', 'stage', 'offline', ?, ?, 1.0)", rows)
    history = History(path)
    history.add(*KEY, (Sample(1, math.inf), Sample(1, math.nan), Sample(1, 0.0), Sample(1, 3.0)))
    assert history.samples(*KEY) == (Sample(4, 2.0), Sample(1, 3.0))
    assert [record.seconds for record in history.records()] == [2.0, 3.0]
    history.close()


@pytest.mark.parametrize(
    ("batch", "seconds"),
    [
        (1, b"1.0"), (b"\x01", 1.0), (None, 1.0), (1, None), (1.5, 1.0), (2**63 - 1, 1.0),
        (1, 1e308), (1, 5e-324), (-4, 1.0),
    ],
)  # fmt: skip
def test_rows_of_a_faulty_writer_are_passed_over(path, batch, seconds):
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("CREATE TABLE samples (device, stage, latency, batch, seconds, at_s)")
        db.execute(
            "INSERT INTO samples VALUES ('device', 'stage', 'offline', ?, ?, 1.0)", (batch, seconds)
        )
    history = History(path)
    assert history.samples(*KEY) == ()
    assert history.records() == []
    history.add(*KEY, (Sample(4, 2.0),))
    assert history.samples(*KEY) == (Sample(4, 2.0),)
    history.close()


def test_keys_that_are_no_text_or_no_utf8_leave_the_rest_readable(path):
    with opened(path) as db:
        for key in ("x'00', 'stage', 'offline'", "'device', 'stage', 'soon'"):
            db.execute(f"INSERT INTO samples VALUES ({key}, 1, 1.0, 1.0)")
        db.execute("INSERT INTO samples VALUES (CAST(x'ff' AS TEXT), 's', 'offline', 1, 1.0, 1.0)")
        db.execute("INSERT INTO samples VALUES ('device', 'stage', 'offline', 1, 2.0, 1.0)")
    history = History(path)
    assert [r.device for r in history.records()] == ["\ufffd", "device"]
    assert history.samples(*KEY) == (Sample(1, 2.0),)
    history.close()


@pytest.mark.parametrize(
    "sample",
    [
        Sample(2**70, 1.0), Sample(0, 1.0), Sample(-1, 1.0), Sample(1, 10**400), Sample(1, 1e308),
        Sample("1", 1.0), Sample(1, "x"), Sample(1, None),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_time_of_a_run_is_not_kept(path, sample):
    history = History(path)
    history.add(*KEY, (sample, Sample(1, 2.0)))
    assert history.merge([Record("d", "s", "offline", sample.batch, sample.seconds)]) == 0
    assert history.samples(*KEY) == (Sample(1, 2.0),)
    history.close()


def test_a_clock_that_was_set_back_loses_nothing_new(path, monkeypatch):
    history = History(path)
    for index in range(32):
        history.add(*KEY, (Sample(8, 1.0 + index),))
    monkeypatch.setattr("time.time", lambda: 1.0)
    history.add(*KEY, (Sample(8, 99.0),))
    assert [s.seconds for s in history.samples(*KEY)] == [*(2.0 + i for i in range(31)), 99.0]
    history.close()
