"""How many patterns of lost fragments a code can rebuild, beyond what it guarantees. Pure.

A maximally recoverable code rebuilds those whose *excess* (losses beyond one per local group, plus
lost globals) is at most the number of globals. A real code fails besides on a few patterns whose
equations happen to depend on each other; `decodable_share` counts both.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from deepseek_store.codes.code import Code
from deepseek_store.codes.field import INVERSE, MULTIPLY, Matrix
from deepseek_store.codes.matrix import parity_rows

_SAMPLES = 4096
_SEED = 20_260_801


@lru_cache(maxsize=512)
def decodable_share(code: Code, losses: int) -> float:
    """Share of the patterns of that many losses that this code rebuilds.

    The patterns are counted by their excess. Those that leave no equation to spare are sampled
    (seeded, so equal input gives equal output); each spare equation makes a dependence 256 times
    rarer, as in a random matrix over GF(2^8).
    """
    if losses <= code.tolerance or code.family != "lrc":
        return float(losses <= code.tolerance)
    dependent = _dependent_share(code, losses)
    return sum(
        share * (1 - dependent / 256.0 ** (code.parities - excess))
        for excess, share in excesses(code, losses)
        if excess <= code.parities
    )


@lru_cache(maxsize=512)
def excesses(code: Code, losses: int) -> tuple[tuple[int, float], ...]:
    """(excess, share of the patterns of that many losses), exactly."""
    ways = {(0, 0): 1}  # (excess, losses) -> patterns, group after group
    for size, free in _parts(code):
        longer: dict[tuple[int, int], int] = {}
        for (excess, lost), count in ways.items():
            for here in range(min(size, losses - lost) + 1):
                key = (excess + max(0, here - free), lost + here)
                longer[key] = longer.get(key, 0) + count * math.comb(size, here)
        ways = longer
    total = math.comb(code.n, losses)
    return tuple((excess, n / total) for (excess, lost), n in ways.items() if lost == losses)


def _parts(code: Code) -> list[tuple[int, int]]:
    """(fragments, losses that cost no global equation): the local groups, then the rest."""
    groups = [(len(code.group_data(group)) + 1, 1) for group in range(code.groups)]
    return [*groups, (code.n - sum(size for size, _ in groups), 0)]


@lru_cache(maxsize=512)
def _dependent_share(code: Code, losses: int) -> float:
    """Share of the patterns without a spare equation whose equations are dependent."""
    splits = [*_splits(_parts(code), losses, code.parities)]
    if not splits:
        return 0.0
    ways = [
        math.prod(math.comb(s, x) for (s, _), x in zip(_parts(code), split, strict=True))
        for split in splits
    ]
    total = sum(ways)
    rng = np.random.default_rng(_SEED)
    drawn = rng.choice(len(splits), _SAMPLES, p=[count / total for count in ways])
    lost = _draw(rng, code, np.array(splits)[drawn])
    return 1.0 - float(independent(reduced(code, lost)).mean())


def _splits(parts: list[tuple[int, int]], losses: int, excess: int) -> Iterator[tuple[int, ...]]:
    """All ways to spread the losses over the parts with exactly that excess."""
    (size, free), *rest = parts
    for here in range(min(size, losses) + 1):
        left = excess - max(0, here - free)
        if left < 0:
            return
        if rest:
            yield from ((here, *more) for more in _splits(rest, losses - here, left))
        elif here == losses and left == 0:
            yield (here,)


def _draw(rng: np.random.Generator, code: Code, counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Random patterns [samples, n] with those counts [samples, parts] of losses."""
    lost = np.zeros((len(counts), code.n), np.bool_)
    for part, members in enumerate(_members(code)):
        order = rng.random((len(counts), len(members))).argsort(axis=1).argsort(axis=1)
        lost[:, members] = order < counts[:, [part]]
    return lost


def _members(code: Code) -> list[list[int]]:
    groups = [[*code.group_data(group), code.k + group] for group in range(code.groups)]
    return [*groups, list(range(code.k + code.groups, code.n))]


def reduced(code: Code, lost: NDArray[np.bool_]) -> Matrix:
    """The global equations [samples, globals, excess] that patterns of equal excess leave.

    A group's parity row replaces its first lost fragment by the sum of the others lost there.
    """
    rows = parity_rows(code)[code.groups :]
    columns = np.zeros((code.parities, code.n), np.uint8)
    columns[:, : code.k] = rows
    columns[:, code.k + code.groups :] = np.eye(code.parities, dtype=np.uint8)
    first = np.zeros((len(lost), code.n), np.int64)
    kept = lost.copy()
    for members in _members(code)[:-1]:
        pivot = np.array(members)[lost[:, members].argmax(axis=1)]
        first[:, members] = pivot[:, None]
        kept[np.arange(len(lost)), pivot] = False
    sample, index = np.nonzero(kept)
    parts = columns[:, index].copy()
    local = index < code.k + code.groups
    parts[:, local] ^= columns[:, first[sample[local], index[local]]]
    found: Matrix = parts.T.reshape(len(lost), -1, code.parities).transpose(0, 2, 1)
    return found


def independent(matrices: Matrix) -> NDArray[np.bool_]:
    """Which of the matrices [samples, rows, columns] have independent columns."""
    work = np.array(matrices)
    samples = np.arange(len(work))
    regular = np.ones(len(work), np.bool_)
    for column in range(work.shape[2]):
        if column >= work.shape[1]:
            return np.zeros(len(work), np.bool_)
        pivot = column + (work[:, column:, column] != 0).argmax(axis=1)
        chosen = work[samples, pivot].copy()
        work[samples, pivot] = work[:, column]
        regular &= chosen[:, column] != 0
        chosen = MULTIPLY[INVERSE[chosen[:, column]][:, None], chosen]
        work[:, column] = chosen
        below = work[:, column + 1 :, column].copy()
        work[:, column + 1 :] ^= MULTIPLY[below[:, :, None], chosen[:, None, :]]
    return regular
