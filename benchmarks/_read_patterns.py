"""Read patterns of training, tables and arrays, made by a seed: block numbers in order of use."""

import random
from collections.abc import Iterable, Iterator

Reads = list[int]


def by_readers(parts: Iterable[Iterable[int]], readers: int, rng: random.Random) -> Reads:
    """Readers take whole parts from a queue and go on in random turns."""
    queue, found = [iter(part) for part in parts], list[int]()
    busy: list[Iterator[int]] = []
    while queue or busy:
        while queue and len(busy) < readers:
            busy.append(queue.pop(0))
        at = rng.randrange(len(busy))
        block = next(busy[at], None)
        if block is None:
            busy.pop(at)
        else:
            found.append(block)
    return found


def files(sizes: Iterable[int], *, readers: int, epochs: int, seed: int, gap: int = 0) -> Reads:
    """Whole files in another order each epoch (a U-Net's volumes, TFRecord shards)."""
    rng, parts, first = random.Random(seed), list[range](), 1000
    for nblocks in sizes:
        parts.append(range(first, first + nblocks))
        first += nblocks + gap
    orders = (rng.sample(parts, len(parts)) for _ in range(epochs))
    return [block for order in orders for block in by_readers(order, readers, rng)]


def volumes(count: int, mean: float, spread: float, seed: int) -> list[int]:
    """Sizes in blocks of as many files."""
    rng = random.Random(seed)
    return [max(2, round(rng.gauss(mean, spread))) for _ in range(count)]


def records(count: int, *, epochs: int, seed: int) -> Reads:
    """Small records, shuffled anew each epoch (a language model's samples)."""
    rng = random.Random(seed)
    return [block for _ in range(epochs) for block in rng.sample(range(count), count)]


def columns(count: int, *, readers: int, epochs: int, seed: int) -> Reads:
    """Four of twenty columns of row groups, the footer first (a Parquet reader)."""
    rng = random.Random(seed)

    def one(first: int) -> Reads:
        chunks = [(group * 20 + column) * 4 for group in range(8) for column in (1, 4, 5, 13)]
        return [first + 640, *(first + at + n for at in chunks for n in range(4))]

    orders = (rng.sample(range(count), count) for _ in range(epochs))
    return [b for order in orders for b in by_readers((one(f * 641) for f in order), readers, rng)]


def chunk_rows(side: int, *, reads: int, seed: int) -> Reads:
    """Rows of chunks of a cube along any axis (a chunked array): strides of 1, n and n * n."""
    rng, found = random.Random(seed), list[int]()
    for _ in range(reads):
        axis, at = rng.randrange(3), [rng.randrange(side) for _ in range(3)]
        for n in range(side):
            at[axis] = n
            found.append((at[0] * side + at[1]) * side + at[2])
    return found


def restores(ranks: int, nblocks: int, *, rounds: int, seed: int) -> Reads:
    """All ranks read their checkpoints together, then a while at random."""
    rng, found = random.Random(seed), list[int]()
    parts = [range(rank * (nblocks + 3), rank * (nblocks + 3) + nblocks) for rank in range(ranks)]
    for _ in range(rounds):
        found += by_readers(parts, ranks, rng)
        found += [10**6 + rng.randrange(3000) for _ in range(nblocks)]
    return found


def short_runs(length: int, *, run: int, space: int, seed: int) -> Reads:
    """Runs that end when they were just noticed."""
    rng, found = random.Random(seed), list[int]()
    while len(found) < length:
        first = rng.randrange(space)
        found += range(first, first + run)
    return found[:length]


def long_and_short(length: int, *, period: int, seed: int) -> Reads:
    """A scan that makes streams act, then short runs that make them wrong; and again."""
    rng, found, first = random.Random(seed), list[int](), 0
    while len(found) < length:
        first += 10**5
        found += range(first, first + period)
        found += short_runs(period, run=3, space=10**9, seed=rng.randrange(10**6))
    return found[:length]


def look_ups(length: int, *, seed: int) -> Reads:
    """An index from its root to a leaf and a row, with a table scan now and then."""
    rng, found = random.Random(seed), list[int]()
    while len(found) < length:
        if rng.random() < 0.02:
            first = 50_000 + rng.randrange(20) * 500
            found += range(first, first + 500)
        else:
            key = rng.randrange(40_000)
            found += [1, 2 + key // 2000, 100 + key // 40, 10_000 + key * 7919 % 8000]
    return found[:length]


def viewers(length: int, *, count: int, seed: int) -> Reads:
    """Many read one after the other from where they are, and jump at times."""
    rng, found = random.Random(seed), list[int]()
    places = [rng.randrange(20_000) for _ in range(count)]
    for _ in range(length):
        who = rng.randrange(count)
        if rng.random() < 0.02:
            places[who] = rng.randrange(20_000)
        found.append(places[who])
        places[who] += 1
    return found
