"""The matcher as Triton kernels; imported only where one is compiled, or interpreted in a test.

Two kernels. `match_tile` takes a tile of queries and a tile of gallery rows, keeps the sums of all
their pairs in registers, and writes the K nearest of the tile. `match_merge` finds the K nearest of
what the tiles found. A candidate is one number, distance << 32 | index, so that the smallest is
the nearest, of equal ones the one with the lower index; the next is the smallest that is larger.

Legend: B queries, N gallery rows, W elements of a row, K neighbors, T tiles of the gallery.
A program has BQ queries and BN rows: q and n are their numbers, w is an element, a and b are its
values in them, k is a neighbor.
METRIC 0: squared L2 of floats; 1: squared L2 of int8, exact; 2: differing bits of words, exact.
"""

# mypy: disable-error-code="no-untyped-def,untyped-decorator,no-any-return"
# ruff: noqa: N803, PLR0917 - names and arguments as Triton has them

from __future__ import annotations

import triton
import triton.language as tl

LAST = tl.constexpr(0x7FFFFFFFFFFFFFFF)


@triton.jit
def popcount(word):
    """Set bits of 32-bit words; compiled, this form becomes one instruction (POPC)."""
    word = word - ((word >> 1) & 0x55555555)
    word = (word & 0x33333333) + ((word >> 2) & 0x33333333)
    word = (word + (word >> 4)) & 0x0F0F0F0F
    return (word * 0x01010101) >> 24


@triton.jit
def match_tile(
    queries,  # [B, W]
    gallery,  # [W, N]: neighbors in memory are neighbors of a warp
    keys,  # [B, T, K] int64, written
    num_queries,
    num_rows,
    width,
    num_tiles,
    METRIC: tl.constexpr,
    K: tl.constexpr,
    BQ: tl.constexpr,
    BN: tl.constexpr,
):
    """Write the K nearest of one tile of BN rows for each of BQ queries."""
    # One axis of programs, since the others of a grid end at 65,535.
    tile = tl.program_id(0) % num_tiles
    q = tl.program_id(0) // num_tiles * BQ + tl.arange(0, BQ)
    n = tile * BN + tl.arange(0, BN)
    has_query, has_row = q < num_queries, n < num_rows
    sums = tl.zeros((BQ, BN), tl.float32 if METRIC == 0 else tl.int32)
    query_start, row_start = q.to(tl.int64) * width, n.to(tl.int64)
    for w in range(width):
        a = tl.load(queries + query_start + w, mask=has_query, other=0)
        b = tl.load(gallery + row_start, mask=has_row, other=0)
        row_start += num_rows
        if METRIC == 2:
            differing = a[:, None].to(tl.uint32) ^ b[None, :].to(tl.uint32)
            sums += popcount(differing).to(tl.int32)
        else:
            difference = a[:, None].to(sums.dtype) - b[None, :].to(sums.dtype)
            sums += difference * difference
    # Floats that are not negative are in the order of their bits; the sign of a NaN is no order.
    bits = (sums.to(tl.int32, bitcast=True) & 0x7FFFFFFF) if METRIC == 0 else sums
    key = (bits.to(tl.int64) << 32) | n[None, :].to(tl.int64)
    key = tl.where(has_row[None, :], key, LAST)
    found = tl.full((BQ,), -1, tl.int64)
    place = (q.to(tl.int64) * num_tiles + tile) * K
    for k in range(K):
        found = tl.min(tl.where(key > found[:, None], key, LAST), axis=1)
        tl.store(keys + place + k, found, mask=has_query)


@triton.jit
def match_merge(
    keys,  # [B, num_candidates] int64
    indices,  # [B, K] int64, written
    distances,  # [B, K] int32, written: of floats the bits
    num_candidates,
    K: tl.constexpr,
    BM: tl.constexpr,
):
    """Write the K nearest of one query."""
    row = tl.program_id(0).to(tl.int64)
    found = tl.full((1,), -1, tl.int64)
    for k in range(K):
        best = tl.full((1,), LAST, tl.int64)
        for start in range(0, num_candidates, BM):
            place = start + tl.arange(0, BM)
            has_key = place < num_candidates
            key = tl.load(keys + row * num_candidates + place, mask=has_key, other=LAST)
            best = tl.minimum(best, tl.min(tl.where(key > found, key, LAST), axis=0))
        found = best
        one = row * K + k + tl.arange(0, 1)
        tl.store(indices + one, found & 0xFFFFFFFF)
        tl.store(distances + one, (found >> 32).to(tl.int32))
