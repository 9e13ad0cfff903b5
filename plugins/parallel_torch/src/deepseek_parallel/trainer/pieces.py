"""A step's batch cut into microbatches, and which of them each rank takes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import attrs


@attrs.frozen
class Piece:
    """A microbatch: `count` samples from `position` on; a `filler` is computed and not counted."""

    position: int
    count: int
    filler: bool = False


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


def in_step(
    pieces: Sequence[Piece], replicas: int, replica: int, *, stages: int = 1, multiple: bool = False
) -> list[Piece]:
    """The pieces of a replica, filled up so that each has as many and no stage waits for nothing.

    Of `stages` or more, or of a `multiple` of them.
    """
    own = mine(pieces, equal_shares(len(pieces), replicas), replica)
    num = max(-(-len(pieces) // replicas), stages)
    if multiple:
        num = -(-num // stages) * stages
    filler = attrs.evolve(pieces[0], filler=True)
    return own + [filler] * (num - len(own))


def even(position: int, count: int, most: int) -> list[Piece]:
    """`count` samples in pieces of one size, the largest up to `most` that divides them."""
    size = next(size for size in range(min(most, count), 0, -1) if count % size == 0)
    return cut(position, count, count // size)
