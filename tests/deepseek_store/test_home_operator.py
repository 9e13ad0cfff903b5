"""Whatever an operator restores, copies, forces and loses: nothing acknowledged is lost."""

from pathlib import Path

import pytest
from home_operator import Sequence, run_sequences
from store_kit import data_of

from deepseek_store import Store


def test_nothing_is_lost_and_nothing_comes_back(tmp_path: Path) -> None:
    assert run_sequences(tmp_path, 5, seed=400) > 5 * 14


def test_the_test_itself_finds_what_is_lost_wrong_or_back(tmp_path: Path) -> None:
    for name, harm in (
        ("is missing", lambda store: store.delete("a")),
        ("has other bytes", lambda store: store.put("a", data_of("b"))),
        ("came back", lambda store: store.put("gone", data_of("gone"))),
    ):
        sequence = Sequence(tmp_path / name, 0)
        with Store(sequence.home) as store:
            store.put("a", data_of("a"))
        sequence.known.must.add("a")
        sequence.known.gone.add("gone")
        sequence.check()
        with Store(sequence.home) as store:
            harm(store)
        with pytest.raises(AssertionError, match=name):
            sequence.check()
