"""How many patterns decode beyond the guarantee, counted in three independent ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from deepseek_store.codes import Code
from deepseek_store.codes.share import decodable_share, excesses, independent, reduced
from deepseek_store.codes.solve import decodable

WIDE = ["LRC(48,4,3)", "LRC(126,3,6)", "LRC(140,4,6)", "LRC(216,4,8)"]


def ideal_share(code: Code, losses: int) -> float:
    """Share of the patterns of that many losses that a best possible code rebuilds."""
    return sum(share for excess, share in excesses(code, losses) if excess <= code.parities)


def is_ideal(code: Code, lost: Collection[int]) -> bool:
    """A best possible code: at most `parities` losses beyond one per local group."""
    groups = Counter(code.group_of(index) for index in lost)
    beyond = sum(count - (group is not None) for group, count in groups.items())
    return beyond <= code.parities


def patterns(code: Code, losses: int, count: int, seed: int) -> NDArray[np.bool_]:
    rng = np.random.default_rng(seed)
    order = rng.random((count, code.n)).argpartition(losses, axis=1)
    lost = np.zeros((count, code.n), np.bool_)
    np.put_along_axis(lost, order[:, :losses], True, axis=1)
    return lost


def excess(code: Code, lost: NDArray[np.bool_]) -> NDArray[np.int64]:
    total = lost.sum(axis=1)
    for group in range(code.groups):
        total -= lost[:, [*code.group_data(group), code.k + group]].any(axis=1)
    return total


def decode_many(code: Code, lost: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which patterns decode, many at a time; the excess above the globals never does."""
    found = np.zeros(len(lost), np.bool_)
    beyond = excess(code, lost)
    for value in range(code.parities + 1):
        chosen = np.flatnonzero(beyond == value)
        if len(chosen) and value:
            found[chosen] = independent(reduced(code, lost[chosen]))
        else:
            found[chosen] = True
    return found


@pytest.mark.parametrize("name", ["LRC(6,2,2)", "LRC(8,3,2)", "LRC(5,2,1)"])
def test_the_ideal_share_is_that_of_counting_all_patterns(name: str) -> None:
    code = Code.parse(name)
    for losses in range(code.n + 1):
        all_patterns = list(combinations(range(code.n), losses))
        counted = sum(is_ideal(code, lost) for lost in all_patterns) / len(all_patterns)
        assert ideal_share(code, losses) == pytest.approx(counted, abs=1e-12)


@pytest.mark.parametrize("name", ["LRC(12,2,2)", "LRC(48,4,3)", "LRC(140,4,6)"])
def test_the_fast_test_of_many_patterns_agrees_with_the_codec(name: str) -> None:
    code = Code.parse(name)
    for losses in range(code.tolerance + 1, code.parities + code.groups + 1):
        lost = patterns(code, losses, 300, seed=losses)
        fast = decode_many(code, lost)
        slow = [decodable(code, np.flatnonzero(row).tolist()) for row in lost]
        assert fast.tolist() == slow


@pytest.mark.parametrize("name", WIDE)
def test_just_beyond_the_guarantee_the_share_is_within_0_002_of_the_ideal(name: str) -> None:
    code = Code.parse(name)
    losses = code.tolerance + 1
    lost = patterns(code, losses, 30_000, seed=1)
    ideal = excess(code, lost) <= code.parities
    real = decode_many(code, lost)
    assert not (real & ~ideal).any()  # nothing decodes that can't
    assert ideal.mean() - real.mean() <= 0.002
    assert abs(ideal.mean() - ideal_share(code, losses)) <= 0.003  # 3 sigma at most 0.002


@pytest.mark.parametrize("name", WIDE)
def test_no_share_is_further_from_the_ideal_than_the_field_allows(name: str) -> None:
    """Patterns without a spare equation fail with 1/256 or so in any code of byte symbols."""
    code = Code.parse(name)
    for losses in range(code.tolerance + 1, code.parities + code.groups + 1):
        lost = patterns(code, losses, 10_000, seed=losses)
        ideal, real = excess(code, lost) <= code.parities, decode_many(code, lost)
        assert ideal.mean() - real.mean() <= 1.5 / 256
        assert real.mean() == pytest.approx(decodable_share(code, losses), abs=0.015)
        assert 0 <= ideal_share(code, losses) - decodable_share(code, losses) <= 1.5 / 256


@pytest.mark.parametrize("name", ["RS(6,3)", "replication(3)", *WIDE])
def test_up_to_the_guarantee_the_share_is_one_and_far_beyond_it_is_none(name: str) -> None:
    code = Code.parse(name)
    assert all(decodable_share(code, losses) == 1.0 for losses in range(code.tolerance + 1))
    assert decodable_share(code, code.n - code.k + 1) == 0.0


def test_the_share_is_a_pure_function() -> None:
    code = Code.parse("LRC(20,4,3)")
    first = decodable_share(code, 6)
    decodable_share.cache_clear()
    assert decodable_share(code, 6) == first
