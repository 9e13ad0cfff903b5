"""Whatever an operator restores, copies, forces and loses: nothing acknowledged is lost."""

from pathlib import Path

import pytest
from operated_store import payload_of
from store_operator import ALL, HOMES, Kind, Operator, sequence


@pytest.mark.parametrize(("kind", "seed"), [(HOMES, 400), (HOMES, 401), (ALL, 400), (ALL, 401)])
def test_nothing_is_lost_wrong_or_back(tmp_path: Path, kind: Kind, seed: int) -> None:
    assert sequence(tmp_path, seed, kind) == 14


@pytest.mark.parametrize(
    ("told", "harm"),
    [
        ("must be one of", lambda store: store.delete("k/a")),
        ("bytes that nobody put", lambda store: store.put("k/a", payload_of(7))),
        ("must be one of", lambda store: store.put("k/gone", payload_of(2))),
        ("nobody put", lambda store: store.put("k/new", b"")),
    ],
    ids=["lost", "other bytes", "back", "new"],
)
def test_the_test_itself_finds_what_is_lost_wrong_or_back(tmp_path: Path, told, harm) -> None:
    operator = Operator(tmp_path, 0, HOMES)
    with operator.opened() as store:
        for key, numbers in (("k/a", (1,)), ("k/gone", (2, None))):
            for number in numbers:
                if number is None:
                    store.delete(key)
                else:
                    store.put(key, payload_of(number))
                operator.model.of(key).become(number, mirrored=False)
    operator.check()
    with operator.opened() as store:
        harm(store)
    with pytest.raises(AssertionError, match=told):
        operator.check()
