"""Time of a collective by its size: t = a + b sqrt(S) + c S, and what was measured beside it.

`a` is latency, `c` the inverse of the bandwidth, and the root stands for what lies between:
pipelines that fill, and the change of protocols. All are 0 or more, fitted by least squares on the
relative error. Between measured sizes the law is corrected by the ratios measured at both, linear
in log S; beyond them, by the ratio of the last one.

S: bytes (n); t: seconds (n); A: columns 1, sqrt(S), S over t (n, 3).
"""

from __future__ import annotations

from itertools import combinations
from typing import Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_observe.advise.collectives.table import FACTORS, Table

LEAST_POINTS: Final = 3


@attrs.frozen(kw_only=True)
class Model:
    """A law that is fitted: `a` seconds, `b` per root of a byte, `c` per byte.

    `sizes` and `ratios`: measured sizes, and measured over lawful time there.
    """

    a: float
    b: float
    c: float
    sizes: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()

    def law(self, nbytes: float) -> float:
        """Seconds of the three terms alone."""
        return float(self.a + self.b * np.sqrt(nbytes) + self.c * nbytes)

    def seconds(self, nbytes: float) -> float:
        """Seconds of `nbytes`, counted as nccl-tests counts.

        Raises:
            InputError: less than a byte.
        """
        if not nbytes >= 1:
            raise errors.InputError(
                f"a collective of {nbytes} bytes", remedy="give a size of 1 byte or more"
            )
        if not self.sizes:
            return self.law(nbytes)
        at = np.interp(np.log(nbytes), np.log(self.sizes), np.log(self.ratios))
        return float(self.law(nbytes) * np.exp(at))


def fit(sizes: NDArray[np.float64], times: NDArray[np.float64]) -> Model:
    """The law that is nearest to measured times, in relative error.

    Raises:
        InputError: fewer than three sizes, or times that are not positive.
    """
    if len(sizes) < LEAST_POINTS or len(set(sizes.tolist())) < LEAST_POINTS:
        raise errors.InputError(
            f"{len(set(sizes.tolist()))} sizes were measured, and a law takes three or more",
            remedy="measure more: all_reduce_perf -b 8 -e 4G -f 2",
        )
    if not (np.isfinite(times).all() and (times > 0).all() and (sizes > 0).all()):
        raise errors.InputError(
            "a time or a size is not positive", remedy="give the whole output of nccl-tests"
        )
    columns = np.stack([np.ones_like(sizes), np.sqrt(sizes), sizes], axis=1) / times[:, None]
    a, b, c = _nonnegative(columns)
    law = a + b * np.sqrt(sizes) + c * sizes
    order = np.argsort(sizes)
    return Model(
        a=a, b=b, c=c,
        sizes=tuple(sizes[order].tolist()), ratios=tuple((times / law)[order].tolist()),
    )  # fmt: skip


def _nonnegative(columns: NDArray[np.float64]) -> tuple[float, float, float]:
    """Least squares of columns @ x = 1 with x >= 0, by trying all seven sets of terms."""
    scale = np.linalg.norm(columns, axis=0)
    target = np.ones(len(columns))
    best, least = np.zeros(3), np.inf
    for count in (1, 2, 3):
        for chosen in map(list, combinations(range(3), count)):
            x = np.linalg.lstsq(columns[:, chosen] / scale[chosen], target, rcond=None)[0]
            if (x < 0).any():
                continue
            x = x / scale[chosen]
            error = float(((columns[:, chosen] @ x - target) ** 2).sum())
            if error < least:
                best, least = np.zeros(3), error
                best[chosen] = x
    return float(best[0]), float(best[1]), float(best[2])


def of_table(table: Table) -> Model:
    """The model of one log.

    Raises:
        InputError: fewer than three sizes.
    """
    sizes = np.array([point.nbytes for point in table.points], dtype=np.float64)
    return fit(sizes, np.array([point.seconds for point in table.points], dtype=np.float64))


def left_out_errors(table: Table, *, law: bool = False) -> NDArray[np.float64]:
    """Relative error at each size, when it is left out of the fit (n); of the law alone if asked.

    Raises:
        InputError: fewer than four sizes.
    """
    sizes = np.array([point.nbytes for point in table.points], dtype=np.float64)
    times = np.array([point.seconds for point in table.points], dtype=np.float64)
    found = []
    for place in range(len(sizes)):
        kept = np.arange(len(sizes)) != place
        model = fit(sizes[kept], times[kept])
        told = model.law(sizes[place]) if law else model.seconds(sizes[place])
        found.append(abs(told / times[place] - 1))
    return np.array(found)


def bus_bytes_per_s(collective: str, ranks: int, nbytes: float, seconds: float) -> float:
    """Bus bandwidth, which does not depend on the number of ranks.

    Raises:
        InputError: a collective that has none, or fewer than two ranks.
    """
    if collective not in FACTORS:
        raise errors.InputError(
            f"{collective!r} has no bus bandwidth", remedy=f"known: {', '.join(FACTORS)}"
        )
    if ranks < 2:
        raise errors.InputError(
            f"{ranks} rank exchanges nothing", remedy="give the number of ranks, 2 or more"
        )
    return nbytes / seconds * FACTORS[collective](ranks)


def wire_bytes_per_s(bus: float, ranks: int, nodes: int) -> float:
    """What the network of one accelerator carries in a ring over `nodes` machines."""
    return bus * (nodes - 1) / (ranks - 1) if nodes > 1 else 0.0
