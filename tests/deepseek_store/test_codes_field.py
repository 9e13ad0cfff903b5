"""The field, its matrices and elimination, each against a slow twin."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from deepseek_store.codes import Code
from deepseek_store.codes.field import INVERSE, MULTIPLY, Matrix, eliminate, product
from deepseek_store.codes.matrix import parity_rows


def slow_product(left: int, right: int) -> int:
    """Shift and add, then reduce by 0x11d: no logarithms."""
    total = 0
    for bit in range(8):
        if right >> bit & 1:
            total ^= left << bit
    for bit in range(14, 7, -1):
        if total >> bit & 1:
            total ^= 0x11D << (bit - 8)
    return total


def test_the_table_of_products_is_that_of_shift_and_add() -> None:
    table = [[slow_product(a, b) for b in range(256)] for a in range(256)]
    assert MULTIPLY.tolist() == table


def test_every_element_but_zero_has_its_inverse() -> None:
    assert all(slow_product(a, int(INVERSE[a])) == 1 for a in range(1, 256))


def test_a_matrix_product_is_the_sum_of_products() -> None:
    rng = np.random.default_rng(0)
    left, right = (rng.integers(0, 256, shape, np.uint8) for shape in ((3, 4), (4, 5)))
    for i in range(3):
        for j in range(5):
            total = 0
            for m in range(4):
                total ^= slow_product(int(left[i, m]), int(right[m, j]))
            assert product(left, right)[i, j] == total


def test_elimination_gives_the_inverse_of_a_regular_matrix() -> None:
    rng = np.random.default_rng(1)
    unit = np.eye(6, dtype=np.uint8)
    for _ in range(50):
        matrix = rng.integers(0, 256, (6, 6), np.uint8)
        work = np.concatenate([matrix, unit], axis=1)
        used = eliminate(work, 6)
        if len(used) == 6:
            assert np.array_equal(product(work[used, 6:], matrix), unit)
        else:
            assert _determinant(matrix) == 0


def _determinant(matrix: Matrix) -> int:
    """Laplace's expansion; slow and plain."""
    if len(matrix) == 1:
        return int(matrix[0, 0])
    total = 0
    for column in range(len(matrix)):
        rest = np.delete(matrix[1:], column, axis=1)
        total ^= slow_product(int(matrix[0, column]), _determinant(rest))
    return total


def test_elimination_sees_a_rank_that_is_too_low() -> None:
    row = np.array([1, 2, 3], np.uint8)
    assert len(eliminate(np.stack([row, MULTIPLY[7, row], row]), 3)) == 1


@pytest.mark.parametrize("name", ["RS(6,3)", "RS(8,4)", "LRC(6,2,3)"])
def test_every_square_part_of_the_cauchy_rows_is_regular(name: str) -> None:
    code = Code.parse(name)
    rows = parity_rows(code)[code.groups :]
    if code.groups:  # with the sum of the local rows on top
        rows = np.concatenate([np.ones((1, code.k), np.uint8), rows])
    for size in range(1, len(rows) + 1):
        for chosen in combinations(range(len(rows)), size):
            for columns in combinations(range(code.k), size):
                assert _determinant(rows[np.ix_(chosen, columns)])


def test_global_rows_are_one_over_k_plus_i_xor_j() -> None:
    code = Code.parse("LRC(140,4,6)")
    rows = parity_rows(code)
    for i, j in ((0, 0), (5, 139), (2, 77)):
        assert slow_product(int(rows[4 + i, j]), (140 + i) ^ j) == 1
    assert rows[:4].sum(axis=0).tolist() == [1] * 140
