"""A step's batch cut into microbatches, and which of them each rank takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs


@attrs.frozen
class Piece:
    """A microbatch: `count` samples from `position` on."""

    position: int
    count: int


def cut(position: int, count: int, pieces: int) -> list[Piece]:
    """`count` samples in so many pieces, of sizes that differ by one at most; none is empty."""
    pieces = min(pieces, count)
    ends = [position + count * number // pieces for number in range(pieces + 1)]
    return [Piece(begin, end - begin) for begin, end in pairwise(ends)]


def equal_shares(pieces: int, ranks: int) -> tuple[int, ...]:
    """Give each rank as many pieces as the others, or one more."""
    each, more = divmod(pieces, ranks)
    return tuple(each + (rank < more) for rank in range(ranks))


def mine(pieces: Sequence[Piece], shares: Sequence[int], rank: int) -> list[Piece]:
    """The pieces of a rank: neighbors, in the order of the ranks."""
    begin = sum(shares[:rank])
    return list(pieces[begin : begin + shares[rank]])
