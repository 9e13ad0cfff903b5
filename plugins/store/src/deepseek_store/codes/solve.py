"""Which fragments to read to rebuild others, and with which coefficients. Pure.

Order of attempts: a group with one loss is an XOR of its others; what is left is solved for the
lost data alone (at most groups + globals unknowns); a rank too low ends in `Unrecoverable`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import attrs
import numpy as np

from deepseek_store.codes.code import Code
from deepseek_store.codes.field import Matrix, eliminate, product
from deepseek_store.codes.matrix import parity_rows
from deepseek_store.errors import Unrecoverable


@attrs.frozen(kw_only=True)
class DecodePlan:
    """What to read, and how the wanted fragments follow from it.

    `coefficients[i][j]` is the factor of fragment `reads[j]` in fragment `wanted[i]`.
    """

    code: Code
    reads: tuple[int, ...]
    wanted: tuple[int, ...]
    coefficients: tuple[bytes, ...]

    @property
    def is_local(self) -> bool:
        """Whether it is XOR alone: copies and local groups."""
        return all(max(row, default=0) <= 1 for row in self.coefficients)

    @property
    def matrix(self) -> Matrix:
        """The coefficients as a uint8 array [wanted, reads]."""
        flat = np.frombuffer(b"".join(self.coefficients), np.uint8)
        return flat.reshape(len(self.wanted), len(self.reads))


def plan(
    code: Code,
    lost: Collection[int],
    wanted: Collection[int] | None = None,
    virtual: Collection[int] = (),
) -> DecodePlan:
    """The fewest reads that rebuild `wanted` (all of `lost` where None).

    `virtual` are data fragments of nothing but zeros, which are never read.

    Raises:
        Unrecoverable: More is lost than the code can bear.
    """
    if any(not 0 <= index < code.k for index in virtual):
        raise ValueError(f"virtual fragments of {code.name} are data fragments, not {virtual}")
    gone = frozenset(_checked(code, lost)) - frozenset(virtual)
    targets = tuple(sorted(_checked(code, gone if wanted is None else wanted)))
    rows = {index: _single(code, index, gone) for index in targets}
    missing = [index for index, row in rows.items() if row is None]
    if missing:
        rows.update(_solved(code, gone, missing))
    matrix = np.array([rows[index] for index in targets], np.uint8).reshape(len(targets), code.n)
    matrix[:, list(virtual)] = 0
    reads = np.flatnonzero(matrix.any(axis=0))
    return DecodePlan(
        code=code,
        reads=tuple(map(int, reads)),
        wanted=targets,
        coefficients=tuple(row.tobytes() for row in matrix[:, reads]),
    )


def decodable(code: Code, lost: Collection[int]) -> bool:
    """Whether all lost fragments can be rebuilt."""
    gone = frozenset(_checked(code, lost))
    if len(gone) <= code.tolerance:
        return True
    unknown = _unknown(code, gone)
    equations = _equations(code, gone, unknown)
    if len(equations) < len(unknown):
        return False
    work = parity_rows(code)[equations][:, unknown]
    return len(eliminate(work, len(unknown))) == len(unknown)


def _checked(code: Code, indexes: Iterable[int]) -> Iterable[int]:
    found = set(indexes)
    if found and not 0 <= min(found) <= max(found) < code.n:
        raise ValueError(f"{code.name} has no fragment {max(found)} (or {min(found)})")
    return found


def _single(code: Code, index: int, gone: frozenset[int]) -> Matrix | None:
    """Coefficients [n] that need no solving: the fragment itself, a copy, its group."""
    row = np.zeros(code.n, np.uint8)
    if index not in gone:
        row[index] = 1
    elif _by_xor(code, index, gone):
        row[list(code.members(index))] = 1
        row[index] = 0
    elif code.family == "replication" and len(gone) < code.n:
        row[next(i for i in range(code.n) if i not in gone)] = 1
    else:
        return None
    return row


def _by_xor(code: Code, index: int, gone: frozenset[int]) -> bool:
    """Whether a lost fragment is the only loss of its local group."""
    group = code.group_of(index)
    return group is not None and _losses(code, group, gone) == 1


def _losses(code: Code, group: int, gone: frozenset[int]) -> int:
    return sum(code.group_of(index) == group for index in gone)


def _unknown(code: Code, gone: frozenset[int]) -> list[int]:
    """The lost data that no XOR of a group returns."""
    return [i for i in sorted(gone) if i < code.k and not _by_xor(code, i, gone)]


def _equations(code: Code, gone: frozenset[int], unknown: Collection[int]) -> list[int]:
    """Rows of the parities that are there and speak of an unknown, local ones first."""
    found = (code.group_of(index) for index in unknown)
    groups = sorted({group for group in found if group is not None})
    local = [group for group in groups if code.k + group not in gone]
    others = range(code.groups, code.n - code.k)
    return local + [row for row in others if code.k + row not in gone]


def _solved(code: Code, gone: frozenset[int], wanted: Sequence[int]) -> dict[int, Matrix]:
    """Coefficients [n] of the wanted fragments over those that are there.

    The equations say: E_u u + E_d d = p, with u the unknown and d the other data, p parities.
    So wanted = T_u u + T_d d = (T_u E_u^-1) p + (T_d + T_u E_u^-1 E_d) d; - is + in GF(2^8).
    """
    unknown = _unknown(code, gone)
    equations = _equations(code, gone, unknown)
    over_data = _targets(code, wanted)
    by_parity = product(over_data[:, unknown], _inverse(code, gone, unknown, equations))
    out = np.zeros((len(wanted), code.n), np.uint8)
    out[:, : code.k] = over_data ^ product(by_parity, parity_rows(code)[equations])
    out[:, [code.k + row for row in equations]] = by_parity
    _replace_by_groups(code, gone, out)
    return dict(zip(wanted, out, strict=True))


def _targets(code: Code, wanted: Sequence[int]) -> Matrix:
    """What is wanted, as coefficients [wanted, k] over the data."""
    rows = np.zeros((len(wanted), code.k), np.uint8)
    for row, index in zip(rows, wanted, strict=True):
        if index < code.k:
            row[index] = 1
        else:
            row[:] = parity_rows(code)[index - code.k]
    return rows


def _inverse(code: Code, gone: frozenset[int], unknown: list[int], equations: list[int]) -> Matrix:
    """Coefficients [unknowns, equations] of the unknown data over the equations."""
    left = parity_rows(code)[equations][:, unknown]
    work = np.concatenate([left, np.eye(len(equations), dtype=np.uint8)], axis=1)
    used = eliminate(work, len(unknown)) if len(equations) >= len(unknown) else []
    if len(used) < len(unknown):
        lost = sorted(gone)
        raise Unrecoverable(
            f"{code.name} can't rebuild a stripe that lost {len(lost)} fragments: {lost}",
            url="",
            lost=lost,
            remedy="bring a domain with some of these fragments back, or restore the objects",
        )
    inverse: Matrix = work[used, len(unknown) :]
    return inverse


def _replace_by_groups(code: Code, gone: frozenset[int], rows: Matrix) -> None:
    """Write the lost data that a group returns as the XOR of that group, in place."""
    for index in gone:
        if index < code.k and _by_xor(code, index, gone):
            others = [other for other in code.members(index) if other != index]
            rows[:, others] ^= rows[:, [index]]
            rows[:, index] = 0
