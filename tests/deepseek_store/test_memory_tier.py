"""The tier in memory keeps every promise of a tier, and bounds itself."""

import pytest

from deepseek_core import errors, open_tier
from deepseek_store.conformance import TestMemory
from deepseek_store.memory_tier import MemoryTier, open_memory

__all__ = ["TestMemory"]


def test_the_face_opens_it_by_its_url() -> None:
    with open_tier("memory://face?domains=2") as tier:
        assert isinstance(tier, MemoryTier)
        assert tier.failure_domains == ("d000", "d001")


def test_who_opens_the_name_again_finds_the_objects() -> None:
    open_memory("memory://shared").put_if_absent("a/b", b"kept")
    other = open_memory("memory:shared")
    assert other.get("a/b") == b"kept"
    other.clear()
    assert not list(open_memory("memory://shared").list())


def test_another_name_is_another_place() -> None:
    open_memory("memory://one").put_if_absent("key", b"x")
    assert not list(open_memory("memory://another").list())


def test_a_full_tier_says_so_and_keeps_nothing_of_the_object() -> None:
    tier = open_memory("memory://small?capacity=10")
    tier.put_if_absent("a", b"12345678")
    with pytest.raises(errors.TierFull, match="8 of 10 bytes"):
        tier.put_if_absent("b", b"123")
    assert [found.key for found in tier.list()] == ["a"]
    assert tier.profile().free_nbytes == 2
    tier.delete("a")
    assert tier.put_if_absent("b", b"123")
    assert tier.profile().free_nbytes == 7


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memory://", "names no place"),
        ("memory://x?domain=3", "unknown setting 'domain'"),
        ("memory://x?domains=many", "domains is 'many'"),
        ("memory://x?domains=-1", "domains is '-1'"),
        ("memory://x?domains=99999", "domains is '99999'"),
        ("memory://x?capacity=", "capacity is ''"),
    ],
)
def test_a_wrong_url_is_refused_with_its_reason(url: str, said: str) -> None:
    with pytest.raises(errors.ConfigError, match=said):
        open_memory(url)


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(errors.InputError, match="not UTF-8"):
        open_memory("memory://x").put_if_absent("\ud800", b"")
