"""Counts outlive the process that counted, and are summed over all that did."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deepseek_store import Policy, Store
from deepseek_store.check.background import CareRound
from deepseek_store.home import counters
from deepseek_store.home.counters import Counters, LedgerEntry
from deepseek_store.index.rows import Batch
from deepseek_store.report.status import look

NUMBERS = st.builds(
    Counters, **{field.name: st.integers(0, 1 << 60) for field in attrs.fields(Counters)}
)


@given(NUMBERS, NUMBERS)
def test_sums_are_of_each_count(one, other):
    for field in attrs.fields(Counters):
        both = getattr(one, field.name) + getattr(other, field.name)
        assert getattr(one + other, field.name) == both


@given(NUMBERS, st.lists(st.sampled_from(["streams", "markov", "lstm"]), max_size=3))
def test_an_entry_comes_back_from_its_text(counts, acting):
    entry = LedgerEntry(
        counts=counts, at_s=1.5, acting=tuple(acting), why="so", ticks=({"at_s": 1.0},)
    )
    assert LedgerEntry.from_text(entry.to_text()) == entry


@pytest.mark.parametrize(
    "text", [None, "", "no json", "[]", '{"counts": 7}', '{"at_s": "x"}', "null"]
)
def test_a_text_that_is_none_counts_nothing(text):
    assert LedgerEntry.from_text(text) == LedgerEntry()


def test_a_count_that_later_versions_have_is_passed_over():
    text = '{"counts": {"cache_hits": 3, "from_the_future": 9}}'
    assert LedgerEntry.from_text(text).counts == Counters(cache_hits=3)


@pytest.fixture
def home(tmp_path):
    name = str(tmp_path).replace("/", "-")
    policy = Policy(codes={"hot": "auto", "warm": "auto", "cold": "rs(2,1)"}, prefetch=False,
                    cold_fragment_nbytes=64 << 10)  # fmt: skip
    with Store.init(
        tmp_path / "home", cold=[f"memory://c{name}?domains=3"], policy=policy
    ) as store:
        store.put("k", b"x" * 10_000, tier="cold")
    return tmp_path / "home"


def totals(store):
    return look(store).counts


def test_counts_go_on_where_the_last_process_ended(home):
    for reads in (1, 2, 3):
        with Store(home) as store:
            store.get("k")
            assert totals(store).cache_misses == reads
            assert totals(store).fetched == reads
            store.get("k")
            assert totals(store).cache_hits == reads


def test_several_that_share_a_store_are_summed(home):
    with Store(home, shared=True) as one, Store(home, shared=True) as other:
        one.get("k")
        other.get("k")
        other.parts.ledger.save()
        assert totals(one).fetched == 2
        one.parts.ledger.save()
        assert totals(other).fetched == 2
    with Store(home) as alone:
        assert totals(alone).fetched == 2


def test_nothing_is_written_where_nothing_was_counted(home):
    with Store(home) as store:
        before = dict(store.parts.state.index.meta())
    with Store(home) as store:
        assert dict(store.parts.state.index.meta()) == before


def test_rounds_that_did_something_are_remembered(home):
    with Store(home) as store:
        store.parts.ledger.note(1.0, attrs.asdict(CareRound()))
        store.parts.ledger.note(2.0, attrs.asdict(CareRound(moves=2, freed_nbytes=5)))
        for number in range(30):
            store.parts.ledger.note(3.0 + number, attrs.asdict(CareRound(error=f"no {number}")))
    with Store(home) as store:
        ticks = store.parts.ledger.mine().ticks
        assert len(ticks) == 20
        assert ticks[-1] == {"at_s": 32.0, "moves": 0, "freed_nbytes": 0, "error": "no 29"}


def test_hosts_that_are_gone_leave_one_row_between_them(home):
    with Store(home) as store:
        before = totals(store)
        for number in range(200):
            told = LedgerEntry(counts=Counters(moves=3), at_s=1000.0 + number)
            store.parts.state.commit(Batch(meta={f"counts:box{number}:1": told.to_text()}))
        store.get("k")
        store.parts.ledger.save()
        rows = [n for n in store.parts.state.index.meta() if n.startswith("counts:")]
        assert len(rows) <= counters.MOST
        assert totals(store).moves == before.moves + 600
    with Store(home) as store:
        assert totals(store).moves == before.moves + 600
