"""Tiers that several openings, threads and processes use at once, and many or similar keys."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import count
from threading import Event
from typing import Any, Final

import pytest

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.tier import Tier
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.tier_base import TierRules
from deepseek_core.testing.tier_faults import Writer, content_of

_EACH: Final = 30
_CONTESTED: Final = 12
_KILLED_AFTER: Final = 25
_LISTINGS: Final = 40
_LISTINGS_S: Final = 3.0
_STABLE: Final = 20
_PROBE: Final = 100
_PATIENCE_S: Final = 8.0
_PAGE: Final = 1_000
"""Objects that an object store lists at once: with fewer nothing is known of long lists."""

ALIKE: Final = (
    ("Weights/Layer", "weights/layer"),
    ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")),
    ("\uac00", unicodedata.normalize("NFD", "\uac00")),
    ("of\ufb01ce", "office"),
    ("stra\u00dfe", "strasse"),
    ("sign", "sign "),
    ("dot", "dot."),
    ("part/key", "part%2Fkey"),
    ("a+b", "a b"),
)
"""Keys that a file system, a URL or a library may take for one."""


class SharedRules(TierRules):
    """Rules over many at once."""

    def test_two_openings_lose_nothing(self, spec: Registered[Any], url: str) -> None:
        """Openings of one URL in a process: objects are there, one writer wins a contested key."""
        self._need_durable(spec)
        with ExitStack() as stack:
            both = [stack.enter_context(self._open(spec, url)) for _ in range(2)]
            with ThreadPoolExecutor(4) as pool:
                wrote = list(pool.map(_write, [both[n % 2] for n in range(4)], range(4)))
        _check_all(self._open(spec, url), range(4), wrote)

    def test_two_processes_lose_nothing(self, spec: Registered[Any], url: str) -> None:
        """The same from processes, as a store's workers are."""
        self._need_durable(spec)
        with ExitStack() as stack:
            both = [
                stack.enter_context(Writer(spec.record.factory, url, number, _EACH, _CONTESTED))
                for number in range(2)
            ]
            for writer in both:
                writer.begin()
            wrote = [
                {key for key in writer.written() if key.startswith("both/")} for writer in both
            ]
        _check_all(self._open(spec, url), range(2), wrote)

    def test_a_killed_process_keeps_its_word(self, spec: Registered[Any], url: str) -> None:
        """What it was told was written is there; the one under way is whole or not at all."""
        self._need_durable(spec)
        with Writer(spec.record.factory, url, 0, 100 * _KILLED_AFTER, 0) as writer:
            writer.begin()
            told = writer.killed_after(_KILLED_AFTER)
        with self._open(spec, url) as tier:
            listed = {found.key for found in tier.list()}
            assert told <= listed, f"{len(told - listed)} of {len(told)} objects are lost"
            assert all(tier.get(key) == content_of(key) for key in listed)
            assert tier.put_if_absent("after/the/kill", b"x"), "no writer comes after the killed"

    def test_a_listing_bears_writers(self, tier: Tier) -> None:
        """What was there before and after is listed once, in order, whatever comes and goes."""
        _delete_within_a_listing(tier)
        stable = [f"list/stable{number:02}" for number in range(_STABLE)]
        for key in stable:
            tier.put_if_absent(key, b"x")
        done = Event()
        with ThreadPoolExecutor(2) as pool:
            busy = [pool.submit(_come_and_go, tier, number, done) for number in range(2)]
            try:
                for keys in _listings(tier):
                    assert [key for key in keys if key in stable] == stable
                    assert keys == sorted(keys)
            finally:
                done.set()
            for writer in busy:
                writer.result(_PATIENCE_S)

    def test_a_long_list_is_whole(
        self, tier: Tier, record_property: Callable[[str, object], None]
    ) -> None:
        """Every one of `many` keys is listed once and in order, under a prefix too."""
        number = _affordable(tier, self.many)
        if number <= _PAGE:
            pytest.skip(f"slow here: {number} of {self.many} objects in {_PATIENCE_S:g} s")
        keys = [f"many/{n % 7}/{n:06}" for n in range(_PROBE, number)]
        _put_all(tier, keys)
        expected = sorted([*keys, *(f"many/first/{n:06}" for n in range(_PROBE))])
        assert [found.key for found in tier.list("many/")] == expected
        some = [key for key in expected if key.startswith("many/3/0")]
        assert [found.key for found in tier.list("many/3/0")] == some
        record_property("note", f"{number} objects")

    def test_keys_that_look_alike_stay_apart(self, tier: Tier) -> None:
        """Another case, another form of Unicode, an encoded slash: two objects, or `InputError`."""
        for one, other in ALIKE:
            taken = [key for key in (one, other) if _taken(tier, key)]
            for key in taken:
                assert tier.get(key) == ascii(key).encode(), f"{key!a} gives another object"
            listed = {found.key for found in tier.list()}
            assert set(taken) <= listed, f"listed under another name: {taken!a}"


def _write(tier: Tier, number: int) -> set[str]:
    """Objects of its own and contested ones; those of the latter that it wrote."""
    for step in range(_EACH):
        key = f"own/{number}/{step}"
        assert tier.put_if_absent(key, content_of(key)), key
    contested = [f"both/{step}" for step in range(_CONTESTED)]
    return {key for key in contested if tier.put_if_absent(key, content_of(key))}


def _check_all(opened: Tier, numbers: range, wrote: list[set[str]]) -> None:
    own = {f"own/{number}/{step}" for number in numbers for step in range(_EACH)}
    contested = {f"both/{step}" for step in range(_CONTESTED)}
    with opened as tier:
        listed = {found.key for found in tier.list()}
        lost = (own | contested) - listed
        assert not lost, f"{len(lost)} of {len(own | contested)} objects are lost"
        assert all(tier.get(key) == content_of(key) for key in listed), "an object is another's"
    won = [key for keys in wrote for key in keys]
    assert sorted(won) == sorted(contested), "a contested key has no winner, or several"


def _delete_within_a_listing(tier: Tier) -> None:
    """One that is read step by step meets an object that was there when it began."""
    keys = [f"going/{number}" for number in range(4)]
    for key in keys:
        tier.put_if_absent(key, b"x")
    listing = iter(tier.list("going/"))
    seen = [next(listing).key]
    tier.delete(keys[-1])
    seen += [found.key for found in listing]
    assert [key for key in seen if key != keys[-1]] == keys[:-1]


def _come_and_go(tier: Tier, number: int, done: Event) -> None:
    keys = [f"list/{'at' if number else 'zz'}{step}" for step in range(5)]
    for step in count():
        tier.put_if_absent(keys[step % 5], b"y")
        tier.delete(keys[(step - 2) % 5])
        if done.is_set():
            return


def _listings(tier: Tier) -> Iterator[list[str]]:
    start_s = time.monotonic()
    for _ in range(_LISTINGS):
        yield [found.key for found in tier.list("list/")]
        if time.monotonic() - start_s > _LISTINGS_S:
            return


def _affordable(tier: Tier, wanted: int) -> int:
    """How many objects can be written in the time of a rule."""
    start_s = time.monotonic()
    _put_all(tier, [f"many/first/{number:06}" for number in range(_PROBE)])
    each_s = max(time.monotonic() - start_s, 1e-6) / _PROBE
    return min(wanted, int(_PATIENCE_S / each_s))


def _put_all(tier: Tier, keys: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(lambda key: tier.put_if_absent(key, b"x"), keys))


def _taken(tier: Tier, key: str) -> bool:
    """Whether the key was taken; a refusal is an `InputError`, not another's object."""
    try:
        wrote = tier.put_if_absent(key, ascii(key).encode())
    except InputError:
        return False
    assert wrote, f"{key!a} is taken for another key"
    return True
