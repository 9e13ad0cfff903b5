"""Sums that are counted as rows change are those of all rows, whoever changes them."""

import threading
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deepseek_store import Policy, Store
from deepseek_store.home.state import State
from deepseek_store.home.tallied import Tallied

ROWS = st.one_of(st.none(), st.tuples(st.sampled_from(["warm", "cold"]), st.integers(0, 99)))
CHANGES = st.lists(st.tuples(st.integers(0, 5), st.booleans(), ROWS), max_size=30)


def measured(row: tuple[str, int] | None) -> tuple[str, int] | None:
    return row


def summed(rows: Tallied[tuple[str, int] | None]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for row in rows.values():
        if row is not None:
            sums[row[0]] += row[1]
    return sums


@given(CHANGES, st.integers(0, 30))
def test_rows_that_come_go_and_change_are_counted(
    changes: list[tuple[int, bool, tuple[str, int] | None]], asked: int
) -> None:
    rows: Tallied[tuple[str, int] | None] = Tallied(measured)
    for number, (key, is_there, row) in enumerate(changes):
        if number == asked:
            rows.nbytes()
        if is_there:
            rows[key] = row
        else:
            rows.remove(key)
    assert +Counter(rows.nbytes()) == +summed(rows)


def test_threads_lose_no_byte() -> None:
    rows: Tallied[tuple[str, int] | None] = Tallied(measured)
    rows.nbytes()

    def change(start: int) -> None:
        for number in range(3000):
            rows[start + number % 7] = ("cold", number)
            rows.remove(start + (number * 3) % 7)

    threads = [threading.Thread(target=change, args=(100 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert +Counter(rows.nbytes()) == +summed(rows)


def test_a_store_that_is_used_moved_and_cleaned_keeps_its_sums(tmp_path: Path) -> None:
    for name in ("warm", "cold"):
        (tmp_path / name).mkdir()
    warm, cold = (f"{(tmp_path / name).as_uri()}?domains=6" for name in ("warm", "cold"))
    policy = Policy(codes={"hot": "auto", "warm": "rs(4,2)", "cold": "rs(4,2)"})
    with Store.init(tmp_path / "home", warm=[warm], cold=[cold], policy=policy) as store:
        state = store.parts.state
        assert state.stored_nbytes()["cold"] == 0
        for number in range(24):
            store.put(f"k/{number:02d}", bytes([number]) * 50_000)
        agree(state)
        store.maintenance.send([f"k/{number:02d}" for number in range(0, 12)], "warm")
        store.maintenance.send([f"k/{number:02d}" for number in range(6, 18)], "cold")
        agree(state)
        assert state.stored_nbytes()["warm"] > 0 < state.stored_nbytes()["cold"]
        for number in range(0, 24, 2):
            store.delete(f"k/{number:02d}")
        store.maintenance.gc()
        agree(state)
        before = state.stored_nbytes()
    with Store(tmp_path / "home") as store:
        agree(store.parts.state)
        again = store.parts.state.stored_nbytes()
        assert {name: again[name] for name in ("warm", "cold")} == {
            name: before[name] for name in ("warm", "cold")
        }


def agree(state: State) -> None:
    """What is counted as rows change is what all of them sum up to."""
    stored = {"hot": 0, "warm": 0, "cold": 0}
    for row in state.segments.values():
        stored["hot"] += row.nbytes if row.local else 0
    for stripe in state.stripes.values():
        stored[stripe.tier] += stripe.object_nbytes
    assert state.stored_nbytes() == stored
