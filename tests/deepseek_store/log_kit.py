"""What the tests of the log share."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from deepseek_store.log.disk import Disk
from deepseek_store.log.journal import Journal
from deepseek_store.log.records import Kind, Placed, Record
from deepseek_store.log.recovery import Recovered, recover

STORE = b"the tests' store"
_ids: Iterator[int] = itertools.count(1)
_generations: Iterator[int] = itertools.count(1)


def journal_on(
    disk: Disk, *, writer: int = 1, segment_nbytes: int = 1 << 20, **more: Any
) -> Journal:
    """A journal whose segment ids are taken by no other test."""
    return Journal(
        disk,
        store_id=STORE,
        writer=writer,
        segment_nbytes=segment_nbytes,
        next_segment=lambda: next(_ids),
        clock=lambda: 1.5,
        **more,
    )


def put(key: str = "k", payload: bytes = b"", **more: Any) -> Record:
    """A record of a new generation."""
    kind = more.pop("kind", Kind.PUT)
    return Record(
        kind=kind, key=key, generation=next(_generations), writer=1, payload=payload, **more
    )


def recovered(disk: Disk, **more: Any) -> Recovered:
    """The log after its writers died."""
    return recover(disk, store_id=STORE, writer_alive=lambda writer: False, **more)


def keys_of(disk: Disk, found: Recovered) -> list[str]:
    """Keys of all records, each verified."""
    keys = []
    for info in found.segments:
        for placed in found.placed(info.id):
            disk.read_extent(placed.extent)
            keys.append(placed.record.key)
    return sorted(keys)


def keys(placed: list[Placed]) -> list[str]:
    return [one.record.key for one in placed]
