"""Disks and tiers that have no space left: refused, and nothing acknowledged is lost."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from mounted_disk import mounted_disk
from sim_disk import SimDisk
from store_kit import SMALL, data_of
from store_site import Site

from deepseek_core import errors
from deepseek_store import Store


def fill(store: Store, rng: random.Random) -> tuple[dict[str, bytes], int]:
    """Put until it is full, and some more; what was acknowledged, and how often it was refused."""
    acknowledged: dict[str, bytes] = {}
    refused = 0
    while refused < 12:
        key, data = f"k/{rng.randrange(1000)}", rng.randbytes(rng.choice((10, 5000, 150_000)))
        try:
            if rng.random() < 0.5:
                store.put(key, data)
            else:
                store.put_stream(key, [data[:70_000], data[70_000:]])
        except errors.TierFull as error:
            assert error.remedy
            refused += 1
        else:
            acknowledged[key] = data
    return acknowledged, refused


class FullDisk(SimDisk):
    """A disk of so many bytes; a write that does not fit is begun all the same."""

    left_nbytes = 700_000

    def create(self, name: str, nbytes: int) -> None:
        self._take(nbytes)
        super().create(name, nbytes)

    def write_at(self, name: str, offset: int, parts: Any) -> None:
        data = b"".join(parts)
        grown = offset + len(data) - self.size(name)
        try:
            self._take(max(0, grown))
        except errors.TierFull:
            super().write_at(name, offset, [data[: len(data) // 2]])
            raise
        super().write_at(name, offset, [data])

    def _take(self, nbytes: int) -> None:
        if nbytes > self.left_nbytes:
            raise errors.TierFull("no space left", url=self.url, remedy="free space")
        self.left_nbytes -= nbytes


def test_a_full_log_refuses_and_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    for seed in range(6):
        site = Site(tmp_path / f"s{seed}")
        site.disk = FullDisk()
        rng = random.Random(seed)
        with site.open() as store:
            acknowledged, _ = fill(store, rng)
            for key, data in acknowledged.items():
                assert bytes(store.get(key)) == data
            site.disk.left_nbytes += 1_000_000
            store.put("after", b"there is space again")
        site.disk = site.disk.crash(rng)
        with site.open() as store:
            assert {info.key for info in store.list()} == {*acknowledged, "after"}
            for key, data in acknowledged.items():
                assert bytes(store.get(key)) == data
        site.remove()


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 3 MiB, where this process may mount one."""
    with mounted_disk(tmp_path / "tiny", 3) as folder:
        yield folder


def test_a_real_disk_that_is_full_refuses_and_keeps_what_it_acknowledged(tiny_disk: Path) -> None:
    home = tiny_disk / "s"
    (tiny_disk / "ballast").write_bytes(bytes(500_000))
    store = Store.init(home, policy=SMALL)
    with suppress(errors.TierFull):  # the index has no space left for what the log has
        acknowledged, _ = fill(store, random.Random(1))
        for key, data in acknowledged.items():
            assert bytes(store.get(key)) == data
        for key in list(acknowledged)[::2]:
            try:
                store.delete(key)
            except errors.TierFull:
                continue
            del acknowledged[key]
        store.close()
    (tiny_disk / "ballast").unlink()
    with Store(home) as store:
        for key, data in acknowledged.items():
            assert bytes(store.get(key)) == data
        store.put("after", b"there is space again")


def test_a_full_tier_leaves_objects_where_they_are(tmp_path: Path) -> None:
    tiers = {"cold": ["memory://bad-full?domains=10&capacity=300000"]}
    with Store.init(tmp_path / "s", policy=SMALL, **tiers) as store:
        for number in range(30):
            store.put(f"k/{number}", data_of(number))
        with pytest.raises(errors.TierFull) as caught:
            store.maintenance.send([info.key for info in store.list()], "cold")
        assert caught.value.remedy
        for _ in range(2):
            for number in range(30):
                assert bytes(store.get(f"k/{number}")) == data_of(number)
            store.maintenance.gc()
