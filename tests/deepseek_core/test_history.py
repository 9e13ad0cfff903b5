"""The history keeps what was measured, whatever happens to its file."""

import threading

import pytest

from deepseek_core import LatencyClass
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.runtime.history import History
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
        history.add(*KEY, (Sample(8, index),))
    history.add(*KEY, (Sample(4, 1.0),))
    kept = [s.seconds for s in history.samples(*KEY) if s.batch == 8]
    assert kept == list(range(68, 100))
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
    import sqlite3

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
            histories[index].add("d", f"s{index}", LatencyClass.OFFLINE, (Sample(1, turn),))

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
    history = History(path)
    with pytest.raises(ConfigError, match="history"):
        history.records()
    history.close()
