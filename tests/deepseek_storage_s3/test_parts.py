"""Large objects: several connections, and still only created."""

import mmap
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from slow_proxy import Fault

from deepseek_core import errors

LARGE = os.urandom(6 << 20)


@pytest.fixture
def tier(open_s3, proxy, request):
    options = {"endpoint": proxy.endpoint, "multipart": "5M", "retries": 2}
    return open_s3(f"parts/{request.node.name}", **options)


def test_a_large_object_comes_in_parts_and_whole(tier, proxy):
    assert tier.put_if_absent("large", LARGE) is True
    assert any("uploadId=" in line for line in proxy.requests)
    assert tier.get("large") == LARGE
    assert tier.get("large", 5_000_000, 1000) == LARGE[5_000_000:5_001_000]
    assert [found.key for found in tier.list()] == ["large"]


def test_a_taken_key_stays_as_it_is(tier):
    assert tier.put_if_absent("large", b"small but first")
    assert tier.put_if_absent("large", LARGE) is False
    assert tier.get("large") == b"small but first"
    assert [found.key for found in tier.list()] == ["large"]


def test_of_several_writers_the_object_of_one_is_there_whole(tier):
    """That only one is told so takes an atomic conditional copy, which this server has not."""
    contents = [bytes([n]) * len(LARGE) for n in range(3)]
    with ThreadPoolExecutor(3) as pool:
        wrote = list(pool.map(lambda data: tier.put_if_absent("contested", data), contents))
    winners = [content for content, won in zip(contents, wrote, strict=True) if won]
    assert tier.get("contested") in winners
    assert [found.key for found in tier.list()] == ["contested"]


def test_a_failed_write_leaves_nothing(tier, proxy, open_s3, request):
    proxy.fail(Fault("status", 403, "AccessDenied"), methods=("PUT",))
    with pytest.raises(errors.TierUnavailable):
        tier.put_if_absent("large", LARGE)
    proxy.heal()
    above = open_s3(f"parts/{request.node.name}".rpartition("/")[0])
    assert not [found.key for found in above.list(f"{request.node.name}/")]


def test_parts_are_no_objects_and_no_key_reaches_them(tier):
    for key in (".ds-aside/x", "a\\b"):
        with pytest.raises(errors.InputError, match="not a key in S3"):
            tier.put_if_absent(key, b"x")


def test_an_object_that_no_server_takes_is_refused(tier, proxy):
    # Memory that is never touched takes none.
    with mmap.mmap(-1, (5 << 30) + 1) as huge, pytest.raises(errors.InputError, match="5 GiB"):
        tier.put_if_absent("huge", memoryview(huge))
    assert not proxy.requests
