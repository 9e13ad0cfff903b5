"""What every storage tier promises, as tests that a plugin inherits."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_core.contracts.errors import InputError, ObjectMissing
from deepseek_core.contracts.tier import MOST_KEY_NBYTES, Tier, TierProfile
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.leaks import check_releases
from deepseek_core.testing.tier_base import TierRules
from deepseek_core.testing.tier_faults import write_and_die
from deepseek_core.testing.tier_shared import SharedRules
from deepseek_core.testing.traces import TraceRules

_LARGE: Final = bytes(range(251)) * (4 * 1024 * 1024 // 251 + 1)
BAD_KEYS: Final = ("", "/", "/etc/passwd", "a//b", "a/", ".", "..", "../b", "a/../b", "a/./b")
_DAY_S: Final = 86_400.0
_THREADS: Final = 16
_SPANS: Final = (1, 4_095, 4_096, 4_097, 65_536)
"""Lengths of ranges: those at the borders of blocks and pages go wrong first."""

_KEY: Final = "/".join(["part"] * (MOST_KEY_NBYTES // 10))
"""A key of half the length that may be refused."""

_LONG_KEYS: Final = (_KEY + "/" + "权" * 170, "p" * 300 + "/x", "长" * (MOST_KEY_NBYTES // 3))


class TierConformance(SharedRules, TraceRules, TierRules):
    """Inherit it as `Test...`, set `plugin` and `name`, and make URLs of empty places.

    `durable` says that objects outlive the process that wrote them; by default the record's.
    `many` is the number of small objects of the rule over a long list.
    """

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Write, read, list and delete an object."""
        with self._open(spec, self.make_url(folder)) as tier:
            tier.put_if_absent("used/object", b"x" * 70_000)
            tier.get("used/object", 5, 10)
            list(tier.list("used/"))
            tier.profile()
            tier.delete("used/object")

    def test_it_says_where_it_is(self, spec: Registered[Any], tier: Tier, url: str) -> None:
        """A tier's URL is the one it was opened with, of a scheme that its record names."""
        assert tier.url == url
        assert url.partition(":")[0] in spec.record.schemes

    def test_an_object_comes_back_whole(self, tier: Tier) -> None:
        """What was put is what is got."""
        assert tier.put_if_absent("a/b.bin", b"\x00\xffwhole") is True
        assert tier.get("a/b.bin") == b"\x00\xffwhole"

    def test_ranges_end_where_the_object_ends(self, tier: Tier) -> None:
        """Any part, fewer bytes at the end, none beyond."""
        tier.put_if_absent("digits", b"0123456789")
        assert tier.get("digits", 3) == b"3456789"
        assert tier.get("digits", 2, 5) == b"23456"
        assert tier.get("digits", 8, 100) == b"89"
        assert tier.get("digits", 4, 0) == b""
        assert tier.get("digits", 10) == tier.get("digits", 50, 3) == b""

    def test_listing_is_by_prefix_and_in_order(self, tier: Tier) -> None:
        """The prefix may end within a name; keys come sorted."""
        for key in ("b/2", "a", "b/10", "bc", "c"):
            tier.put_if_absent(key, b"x")
        assert [found.key for found in tier.list()] == ["a", "b/10", "b/2", "bc", "c"]
        assert [found.key for found in tier.list("b/")] == ["b/10", "b/2"]
        assert [found.key for found in tier.list("b")] == ["b/10", "b/2", "bc"]
        assert not list(tier.list("nothing"))

    def test_size_and_age_are_told(self, tier: Tier) -> None:
        """By `stat` and by `list`, the age as seconds since the epoch."""
        tier.put_if_absent("object", b"12345")
        (listed,) = tier.list()
        for found in (tier.stat("object"), listed):
            assert (found.key, found.nbytes) == ("object", 5)
            # A day leaves space for clocks that differ; milliseconds or a day count do not fit.
            assert abs(found.modified_s - time.time()) < _DAY_S

    def test_a_deleted_object_is_gone(self, tier: Tier) -> None:
        """Deleting frees the key; deleting what is not there is not an error."""
        tier.put_if_absent("object", b"old")
        tier.delete("object")
        tier.delete("object")
        assert tier.put_if_absent("object", b"new")
        assert tier.get("object") == b"new"

    def test_the_first_writer_wins(self, tier: Tier) -> None:
        """A taken key is not written to, and that is said."""
        tier.put_if_absent("key", b"first")
        assert tier.put_if_absent("key", b"second") is False
        assert tier.get("key") == b"first"

    def test_a_missing_object_is_told(self, tier: Tier) -> None:
        """By `get` and `stat`, as `ObjectMissing`."""
        for ask in (tier.get, tier.stat):
            with pytest.raises(ObjectMissing):
                ask("never/written")

    def test_keys_may_be_in_any_language(self, tier: Tier) -> None:
        """UTF-8, with spaces and signs that shells and URLs care about."""
        keys = sorted(("模型/权重 1", "naïve+%2F?&#", "-x", "~"))
        for key in keys:
            tier.put_if_absent(key, key.encode())
        assert [found.key for found in tier.list()] == keys
        assert all(tier.get(key) == key.encode() for key in keys)

    def test_an_object_may_be_empty(self, tier: Tier) -> None:
        """No byte is an object too."""
        assert tier.put_if_absent("empty", b"")
        assert tier.get("empty") == b""
        assert tier.stat("empty").nbytes == 0

    def test_an_object_may_exceed_four_mebibytes(self, tier: Tier) -> None:
        """One byte more than the largest shard."""
        large = _LARGE[: 4 * 1024 * 1024 + 1]
        tier.put_if_absent("large", large)
        assert tier.get("large") == large

    def test_any_range_is_the_right_one(self, tier: Tier) -> None:
        """At borders of blocks and within, up to and over the end."""
        content = _LARGE[: (1 << 20) + 17]
        tier.put_if_absent("ranges", content)
        chance = random.Random(1)  # noqa: S311 (a fixed sample)
        borders = (0, 1, 4_095, 4_096, 65_536, len(content) - 4_096, len(content) - 1)
        starts = [*borders, *(chance.randrange(len(content)) for _ in range(13))]
        for start in starts:
            for nbytes in _SPANS:
                assert tier.get("ranges", start, nbytes) == content[start : start + nbytes]

    def test_any_buffer_is_taken_and_copied(self, tier: Tier) -> None:
        """The caller may write to its buffer as soon as `put_if_absent` is back."""
        buffer = bytearray(b"before")
        tier.put_if_absent("bytearray", buffer)
        tier.put_if_absent("memoryview", memoryview(b"--view--")[2:6])
        buffer[:] = b"after!"
        assert tier.get("bytearray") == b"before"
        assert tier.get("memoryview") == b"view"

    def test_one_of_many_writers_wins(self, tier: Tier) -> None:
        """Eight threads, one key: one is told that it wrote, and its object is whole."""
        contents = [bytes([number]) * 65_536 for number in range(8)]
        with ThreadPoolExecutor(8) as pool:
            wrote = list(pool.map(lambda data: tier.put_if_absent("contested", data), contents))
        assert wrote.count(True) == 1
        assert tier.get("contested") == contents[wrote.index(True)]

    def test_many_threads_are_served(self, tier: Tier) -> None:
        """Each of sixteen writes and reads objects of its own, and gets its own."""

        def use(number: int) -> bool:
            keys = [f"threads/{number:02}/{step}" for step in range(4)]
            wrote = [tier.put_if_absent(key, key.encode() * 100) for key in keys]
            return all(wrote) and all(tier.get(key) == key.encode() * 100 for key in keys)

        with ThreadPoolExecutor(_THREADS) as pool:
            assert all(pool.map(use, range(_THREADS)))
        assert len(list(tier.list("threads/"))) == 4 * _THREADS

    def test_long_keys_work_or_are_refused(self, tier: Tier) -> None:
        """Half of 1024 bytes work; more, and long parts, work in full or are an `InputError`."""
        assert tier.put_if_absent(_KEY, b"short enough")
        taken = {_KEY}
        for key in _LONG_KEYS:
            try:
                tier.put_if_absent(key, key.encode())
            except InputError:
                continue
            assert tier.get(key) == key.encode()
            taken.add(key)
        assert {found.key for found in tier.list()} == taken

    def test_failure_domains_hold_their_keys(self, tier: Tier) -> None:
        """The first part of a key names its domain: there it is found, and nowhere else."""
        domains = tier.failure_domains
        assert isinstance(domains, tuple)
        assert len(set(domains)) == len(domains)
        keys = {domain: f"{domain}/stripes/1" for domain in domains[:3]}
        for key in keys.values():
            assert tier.put_if_absent(key, key.encode())
        for domain, key in keys.items():
            assert [found.key for found in tier.list(f"{domain}/")] == [key]
            assert tier.stat(key).nbytes == len(key)
            assert tier.get(key) == key.encode()

    def test_its_profile_can_be_planned_with(self, tier: Tier) -> None:
        """Speeds are speeds, and there is no more space than there is."""
        found = tier.profile()
        assert isinstance(found, TierProfile)
        assert found.nines is None or found.nines > 0
        for nbytes in (found.capacity_nbytes, found.free_nbytes):
            assert nbytes is None or nbytes >= 0
        if found.capacity_nbytes is not None and found.free_nbytes is not None:
            assert found.free_nbytes <= found.capacity_nbytes

    def test_keys_that_leave_the_tier_are_refused(self, tier: Tier) -> None:
        """Absolute, with `.` or `..`, with empty parts: `InputError`, and nothing is written."""
        for key in BAD_KEYS:
            with pytest.raises(InputError):
                tier.put_if_absent(key, b"x")
            with pytest.raises((InputError, ObjectMissing)):
                tier.get(key)
        assert not list(tier.list())

    def test_closing_twice_is_fine(self, tier: Tier) -> None:
        """`close` may be called by whoever is done first."""
        tier.close()
        tier.close()

    def test_closing_leaves_no_thread_and_no_file(self, spec: Registered[Any], url: str) -> None:
        """A process may open and close tiers for weeks."""

        def use() -> None:
            with self._open(spec, url) as tier:
                tier.put_if_absent("object", b"x")
                list(tier.list())
                tier.delete("object")

        check_releases(use)

    def test_objects_outlive_the_tier(self, spec: Registered[Any], url: str) -> None:
        """A tier that is opened later at the same URL has the objects."""
        self._need_durable(spec)
        with self._open(spec, url) as first:
            first.put_if_absent("kept", b"content")
        with self._open(spec, url) as second:
            assert second.get("kept") == b"content"

    def test_a_killed_writer_leaves_nothing(self, spec: Registered[Any], url: str) -> None:
        """An object is there whole or not at all, and its key is free again if not."""
        self._need_durable(spec)
        write_and_die(spec.record.factory, url, "victim", _LARGE)
        with self._open(spec, url) as tier:
            listed = [found.key for found in tier.list()]
            assert listed in ([], ["victim"]), "something else is listed"
            assert tier.put_if_absent("victim", _LARGE) is not bool(listed)
            assert tier.get("victim") == _LARGE
