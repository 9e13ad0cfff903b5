"""The past on disk: what was written comes back, is bounded, and survives what breaks it."""

import errno
import os
import resource
from contextlib import ExitStack, closing

import numpy as np
import pytest

from deepseek_core import errors
from deepseek_observe.monitor.families import MEMORY, UTILIZATION
from deepseek_observe.monitor.history import block
from deepseek_observe.monitor.history.history import ROWS, History
from deepseek_observe.monitor.history.past import charts
from deepseek_observe.monitor.history.table import MOST_LINES, Recent, Table, lines

START_S = 1_800_000_000.0
LOADS = [(UTILIZATION, (f"cuda:{n}", "gpu")) for n in range(4)]


@pytest.fixture
def opened(tmp_path):
    """Opens the history of the test's folder; each is closed at the end."""
    with ExitStack() as stack:
        yield lambda **more: stack.enter_context(closing(History(tmp_path, **more)))


def row(number, series=LOADS):
    return {one: (number * 7 + place * 31) % 100 / 100 for place, one in enumerate(series)}


def fill(history, count, start_s=START_S, series=LOADS):
    for number in range(count):
        history.add(start_s + number, row(number, series))


def rows(history, since_s=0.0):
    """Every row that it has: time -> values."""
    found = {}
    for table in history.tables(since_s, {UTILIZATION}):
        for time_s, values in zip(table.times.tolist(), table.values, strict=True):
            found[time_s] = dict(zip(table.series, values.tolist(), strict=True))
    return found


def test_rows_come_back_after_a_restart_to_a_part_in_8192(opened):
    history = opened()
    fill(history, 150)
    history.close()
    again = opened()
    found = rows(again)
    assert sorted(found) == [START_S + n for n in range(150)]
    for number in range(150):
        for series, value in row(number).items():
            assert found[START_S + number][series] == pytest.approx(value, rel=2**-13)
    again.close()


def test_a_value_that_was_not_there_is_no_number_and_infinity_stays():
    values = np.array([[1.0, np.nan], [np.inf, -2.5]], np.float32)
    table = Table(times=np.array([1.0, 2.0]), series=LOADS[:2], values=values)
    body = block.packed(table)[block.HEAD.size :]
    back = block.unpacked(body, {UTILIZATION})
    np.testing.assert_array_equal(back.values, values)
    assert block.unpacked(body, {MEMORY}).values.shape == (2, 0)


@pytest.mark.parametrize("left", [1, 20, 40, 200])
def test_a_torn_last_block_is_dropped_and_written_over(opened, tmp_path, left):
    history = opened()
    fill(history, 2 * ROWS)
    history.close()
    (file,) = tmp_path.glob("*.dsh")
    size = file.stat().st_size
    os.truncate(file, size // 2 + left)
    again = opened()
    assert again.dropped == 1
    assert len(rows(again)) == ROWS
    fill(again, ROWS, START_S + 1000)
    again.close()
    assert len(rows(opened())) == 2 * ROWS


def test_damage_in_the_middle_takes_its_block_alone(opened, tmp_path):
    history = opened()
    fill(history, 3 * ROWS)
    history.close()
    (file,) = tmp_path.glob("*.dsh")
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x40
    file.write_bytes(data)
    again = opened()
    assert len(rows(again)) == 2 * ROWS
    assert again.dropped == 1


def test_any_bytes_are_a_table_or_a_value_error():
    table = Table(times=np.arange(3.0), series=LOADS, values=np.ones((3, 4), np.float32))
    body = block.packed(table)[block.HEAD.size :]
    chance = np.random.default_rng(5)
    for _ in range(300):
        changed = bytearray(body)
        for at in chance.integers(0, len(body), 3):
            changed[at] = chance.integers(256)
        try:
            found = block.unpacked(
                bytes(changed[: chance.integers(1, len(body) + 1)]), {UTILIZATION}
            )
        except ValueError:
            continue
        assert found.values.shape == (len(found.times), len(found.series))


def test_the_folder_stays_below_its_limit_and_loses_the_oldest(opened, tmp_path):
    history = opened(limit=1 << 16)
    chance = np.random.default_rng(1)
    for number in range(200 * ROWS):
        values = chance.random(4)
        history.add(START_S + number, dict(zip(LOADS, values.tolist(), strict=True)))
    assert sum(file.stat().st_size for file in tmp_path.glob("*.dsh")) <= 1 << 16
    found = rows(history)
    assert START_S + 200 * ROWS - 1 in found
    assert START_S not in found
    assert len(found) > 20 * ROWS


def test_two_monitors_of_one_folder_are_refused(opened):
    history = opened()
    with pytest.raises(errors.ConfigError, match=f"process {os.getpid()}.*--no-history"):
        opened()
    history.close()
    opened()


def test_a_clock_set_back_loses_nothing(opened):
    history = opened()
    fill(history, 30)
    fill(history, 30, START_S - 3600)
    assert len(rows(history)) == 60
    history.close()
    assert len(rows(opened())) == 60


def test_a_full_disk_is_told_and_what_was_written_stays(opened, tmp_path):
    history = opened()
    fill(history, ROWS)
    (file,) = tmp_path.glob("*.dsh")
    size = file.stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, before[1]))
    try:
        fill(history, ROWS, START_S + 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.strerror(errno.EFBIG) in history.fault
    assert file.stat().st_size == size
    fill(history, ROWS, START_S + 200)
    assert history.fault is None
    history.close()
    again = opened()
    assert again.dropped == 0
    assert len(rows(again)) == 2 * ROWS


def test_many_series_are_drawn_as_their_range_and_mean():
    series = [(UTILIZATION, (f"cuda:{n}", "gpu")) for n in range(MOST_LINES + 1)]
    values = np.array([[n / 10 for n in range(MOST_LINES + 1)], [np.nan] * (MOST_LINES + 1)])
    table = Table(times=np.array([1.0, 2.0]), series=series, values=values.astype(np.float32))
    found = lines(table)[UTILIZATION]
    assert list(found) == ["lowest", "mean", "highest"]
    assert [float(one[0]) for one in found.values()] == pytest.approx([0, 0.4, 0.8])
    assert all(np.isnan(one[1]) for one in found.values())
    assert list(lines(table, "cuda:2")[UTILIZATION]) == ["cuda:2"]


def test_a_day_is_thinned_by_means():
    tables = [
        Table(
            times=START_S + np.arange(first, first + ROWS, dtype=float), series=LOADS[:1],
            values=np.tile(np.array([[0.0], [1.0]], np.float32), (ROWS // 2, 1)),
        )
        for first in range(0, 86_400, ROWS)
    ]  # fmt: skip
    found = charts(tables, START_S, START_S + 86_400)
    assert len(found["t"]) == 600
    assert found["p"][UTILIZATION]["cuda:0"] == [0.5] * 600


def test_memory_forgets_the_oldest_row_and_all_after_a_clock_set_back():
    recent = Recent(10)
    for number in range(25):
        recent.add(float(number), row(number))
    assert recent.table(0).times.tolist() == list(range(15, 25))
    recent.add(3.0, row(1))
    assert recent.table(0).times.tolist() == [3.0]
