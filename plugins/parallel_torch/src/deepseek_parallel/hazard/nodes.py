"""What is known of each node on each day, and whether it failed that day."""

from __future__ import annotations

from typing import Final, NamedTuple

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_parallel.hazard.log import FailureLog

Floats = NDArray[np.float32]

DAY_S: Final = 86400.0
HISTORY: Final = 28  # days, before which no day is judged
_WINDOWS: Final = (1, 3, 7, 28)  # days
_SYSTEM_WINDOWS: Final = (1, 7)
_MOST_CELLS: Final = 50_000_000  # days times nodes: a gigabyte


@attrs.frozen(kw_only=True, eq=False)
class NodeDays:
    """Days by nodes of one system: `counts` of failures [days, nodes], from its first failure.

    `so_far` counts those before each day, the day to come among them, and `last` is the day of the
    last one, -1 for none [days + 1, nodes].
    """

    system: str
    counts: Floats
    so_far: NDArray[np.float64] = attrs.field(init=False, repr=False)
    last: NDArray[np.int32] = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        """Sum once what each day is told by."""
        zero = np.zeros((1, self.counts.shape[1]))
        so_far = np.concatenate([zero, np.cumsum(self.counts, axis=0, dtype=np.float64)])
        days = np.arange(len(self.counts), dtype=np.int32)[:, None]
        last = np.maximum.accumulate(np.where(self.counts > 0, days, np.int32(-1)), axis=0)
        object.__setattr__(self, "so_far", so_far)
        object.__setattr__(self, "last", np.concatenate([zero.astype(np.int32) - 1, last]))

    @property
    def num_days(self) -> int:
        """How many days have a history."""
        return len(self.counts) - HISTORY

    def at(self, day: int) -> Floats:
        """Features [nodes, 8] of a day, from the days before it; it may be the day to come.

        Failures of the node in 1, 3, 7 and 28 days and so far, days since the last one, failures of
        the whole system in 1 and 7 days; all as logarithms.

        Raises:
            InputError: it has too few days before it.
        """
        if not HISTORY <= day <= len(self.counts):
            raise errors.InputError(
                f"system {self.system} has no {HISTORY} days of history before day {day}",
                remedy="give a log of more days",
            )
        recent = [self.so_far[day] - self.so_far[day - days] for days in _WINDOWS]
        since = np.where(self.last[day] < 0, day, day - 1 - self.last[day])
        system = [
            np.full_like(recent[0], failed.mean() / days)
            for failed, days in zip(recent, _WINDOWS, strict=True)
            if days in _SYSTEM_WINDOWS
        ]
        columns = [
            *np.log1p(recent),
            np.log(self.so_far[day] / day + 1e-3),
            np.log1p(since),
            *np.log(np.add(system, 1e-3)),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def history(self, day: int) -> Floats:
        """Failures of the last 28 days of each node, and of the mean node [nodes, 28, 2]."""
        past = self.counts[day - HISTORY : day]
        mean = np.broadcast_to(past.mean(axis=1, keepdims=True), past.shape)
        return np.asarray(np.log1p(np.stack([past.T, 10 * mean.T], axis=2)), np.float32)


class Judged(NamedTuple):
    """A model's scores on days that it did not see."""

    auc: float
    average_precision: float
    precision_at_recall_10: float


def node_days(log: FailureLog) -> NodeDays:
    """The days of a system.

    Raises:
        InputError: too many days and nodes for the memory of a machine.
    """
    days = ((log.times_s - log.times_s[0]) // DAY_S).astype(np.int64)
    num_days = int(days[-1]) + 1
    if num_days * log.num_nodes > _MOST_CELLS:
        raise errors.InputError(
            f"system {log.system} has {num_days:,} days of {log.num_nodes:,} nodes, more than "
            f"{_MOST_CELLS:,} are too many to judge nodes by",
            remedy="correct its times and the column nodes, or give a shorter log",
        )
    counts = np.zeros((num_days, log.num_nodes), np.float32)
    np.add.at(counts, (days, log.nodes), 1)
    return NodeDays(system=log.system, counts=counts)


def judged(scores: Floats, failed: NDArray[np.bool_]) -> Judged:
    """Area under the curve, average precision, and precision at a recall of 10 %.

    Of equal scores none comes first: each takes their mean rank, and they are alarmed together.

    Raises:
        InputError: none failed, or all did.
    """
    positives = int(failed.sum())
    if not 0 < positives < len(failed):
        raise errors.InputError(
            "risks can't be judged by days on which no node failed, or all did",
            remedy="give a longer log, or ask without --nodes",
        )
    values, place = np.unique(-scores, return_inverse=True)  # the highest scores first
    alarms = np.bincount(place, minlength=len(values))
    hits = np.bincount(place, weights=failed, minlength=len(values))
    misses = alarms - hits
    above = np.cumsum(hits) - hits  # failures scored higher
    auc = float((misses * (above + hits / 2)).sum() / (positives * (len(failed) - positives)))
    recall, precision = np.cumsum(hits) / positives, np.cumsum(hits) / np.cumsum(alarms)
    average = float((np.diff(recall, prepend=0.0) * precision).sum())
    first = int(np.searchsorted(recall, 0.10))
    return Judged(auc, average, float(precision[first]))
