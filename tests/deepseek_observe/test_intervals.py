"""Unions, gaps and who overlaps whom, beside a count of each single nanosecond."""

import numpy as np
import pytest

from deepseek_observe.timeline.intervals import clipped, covered_within, gaps, partition, union
from deepseek_observe.timeline.nesting import innermost, nest

LENGTH = 60


def drawn(draw):
    """Some intervals, backward and empty ones among them, and the nanoseconds that they cover."""
    num = int(draw.integers(0, 8))
    starts = draw.integers(0, 40, num)
    ends = starts + draw.integers(-2, 9, num)
    covered = np.zeros(LENGTH, bool)
    for start, end in zip(starts, ends, strict=True):
        covered[start : max(start, end)] = True
    return union(starts, ends), covered


def test_parts_are_what_counting_gives_and_add_up_to_the_span():
    draw = np.random.default_rng(0)
    for _ in range(10_000):
        sets, covered = zip(*(drawn(draw) for _ in range(3)), strict=True)
        begin, end = sorted(draw.integers(0, LENGTH, 2).tolist())
        parts = partition(sets, begin, end)
        states = sum(one[begin:end].astype(int) << bit for bit, one in enumerate(covered))
        assert parts.tolist() == np.bincount(states, minlength=8).tolist()
        assert parts.sum() == end - begin
        first, is_covered = sets[0], covered[0]
        assert first.total == is_covered.sum()
        assert (first.starts[1:] > first.ends[:-1]).all()
        assert clipped(first, begin, end).total == is_covered[begin:end].sum()
        assert gaps(first, begin, end).total == (~is_covered[begin:end]).sum()
        ends = draw.integers(0, LENGTH, 4)
        starts = np.minimum(draw.integers(0, LENGTH, 4), ends)
        wanted = [is_covered[a:b].sum() for a, b in zip(starts, ends, strict=True)]
        assert covered_within(first, starts, ends).tolist() == wanted


@pytest.mark.parametrize("nested", [True, False])
def test_the_innermost_range_is_what_a_look_at_all_gives(nested):
    draw = np.random.default_rng(1)
    for _ in range(5_000):
        starts, ends, threads = ranges(draw, nested=nested)
        times, own = draw.integers(-1, 45, 6), draw.integers(0, 3, 6)
        found = innermost(nest(starts, ends, threads), times, own)
        for row, time, thread in zip(found.tolist(), times, own, strict=True):
            holding = (threads == thread) & (starts <= time) & (time < ends)
            if not holding.any():
                assert row == -1
                continue
            best = min(zip(-starts[holding], ends[holding], strict=True))
            assert (-starts[row], ends[row]) == best
            assert threads[row] == thread


def ranges(draw, *, nested):
    """Ranges of two threads; nested ones are halves of halves."""
    if not nested:
        num = int(draw.integers(0, 12))
        starts = draw.integers(0, 30, num)
        return starts, starts + draw.integers(0, 12, num), draw.integers(0, 2, num)
    rows, open_ = [], [(0, 40, int(draw.integers(0, 2)))]
    while open_ and len(rows) < 12:
        start, end, thread = open_.pop()
        rows.append((start, end, thread))
        if end - start > 2:
            middle = int(draw.integers(start + 1, end))
            open_ += [(start, middle, thread), (middle, end, thread)]
    starts, ends, threads = np.array(rows).T
    return starts, ends, threads
