"""What a bad line and a bad server do to a tier: real sockets, real answers."""

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from slow_proxy import Fault, SlowProxy

from deepseek_core import errors
from deepseek_storage_s3.vendor_errors import AccessRefused, BucketMissing

BODY = os.urandom(300_000)


def sent(proxy, method):
    return [line for line in proxy.requests if line.startswith(method)]


@pytest.mark.parametrize(
    "fault",
    [Fault("status", 503, "SlowDown"), Fault("status", 500), Fault("reset"), Fault("lose")],
    ids=["slow-down", "500", "reset", "lost"],
)
def test_a_passing_fault_is_not_seen(far, proxy, fault):
    far.put_if_absent("object", BODY)
    proxy.requests.clear()
    proxy.fail(fault, times=2)
    assert far.get("object", 5, 1000) == BODY[5:1005]
    assert len(sent(proxy, "GET")) == 3


def test_an_answer_that_breaks_off_is_asked_for_again(far, proxy):
    far.put_if_absent("object", BODY)
    proxy.fail(Fault("cut", nbytes=100_000), times=2, methods=("GET",))
    assert far.get("object") == BODY


def test_a_server_that_stays_down_is_told_with_the_number_of_tries(far, proxy):
    proxy.fail(Fault("status", 503, "ServiceUnavailable"))
    for use in (
        lambda: far.get("x"),
        lambda: far.put_if_absent("x", b"x"),
        lambda: list(far.list()),
    ):
        proxy.requests.clear()
        with pytest.raises(errors.TierUnavailable, match=r"HTTP 503.*4 tries") as caught:
            use()
        assert caught.value.retryable and caught.value.remedy
        assert len(proxy.requests) == 4
    proxy.heal()
    assert far.put_if_absent("x", b"x")


def test_all_requests_share_a_budget_of_retries(far, proxy):
    proxy.fail(Fault("status", 500))
    with ThreadPoolExecutor(16) as pool:
        told = [e for e in pool.map(lambda n: failure(far, f"{n}"), range(48)) if e]
    assert any("budget of retries is used up" in text for text in told)
    assert len(proxy.requests) < 48 * 4


def failure(tier, key):
    try:
        tier.get(key)
    except errors.TierUnavailable as error:
        return str(error)
    raise AssertionError("it was read")


def test_a_server_that_hangs_is_given_up(open_s3, proxy):
    tier = open_s3("hang", endpoint=proxy.endpoint, timeout_s=0.3, retries=1)
    proxy.fail(Fault("hang"))
    start_s = time.monotonic()
    with pytest.raises(
        errors.TierUnavailable, match=r"no answer within 0.3 s .timeout_s=., 2 tries"
    ):
        tier.get("x")
    assert time.monotonic() - start_s < 20


def test_a_server_that_is_gone_is_told(open_s3):
    tier = open_s3("gone", endpoint="http://127.0.0.1:9", retries=1)
    with pytest.raises(
        errors.TierUnavailable, match=r"no connection: connection refused, 2 tries"
    ) as caught:
        tier.put_if_absent("x", b"x")
    assert "is up and reachable" in caught.value.remedy


def test_no_retry_begins_after_the_time_to_give_up(open_s3, proxy):
    tier = open_s3("late", endpoint=proxy.endpoint, retries=50, give_up_s=0.3)
    proxy.fail(Fault("status", 500))
    with pytest.raises(errors.TierUnavailable, match=r"no longer than 0.3 s"):
        tier.get("x")
    assert 2 <= len(proxy.requests) < 10


def test_a_refusal_is_told_at_once(far, proxy):
    proxy.fail(Fault("status", 403, "AccessDenied"))
    with pytest.raises(AccessRefused, match="HTTP 403 AccessDenied") as caught:
        far.put_if_absent("x", b"x")
    assert not caught.value.retryable and "keys" in caught.value.remedy
    assert len(proxy.requests) == 1


def test_a_full_server_is_a_full_tier(far, proxy):
    proxy.fail(Fault("status", 507, "InsufficientStorage"))
    with pytest.raises(errors.TierFull, match="507"):
        far.put_if_absent("x", b"x")
    proxy.heal()
    assert not list(far.list())


def test_wrong_keys_are_told_apart(open_s3, monkeypatch):
    monkeypatch.setenv("OTHER_ACCESS", "nobody-knows-it")
    monkeypatch.setenv("OTHER_SECRET", "not-the-secret-of-it")
    with pytest.raises(AccessRefused, match="SignatureDoesNotMatch") as caught:
        open_s3("x", secret_key="env:OTHER_SECRET").get("x")
    assert "secret key" in caught.value.remedy
    with pytest.raises(AccessRefused, match="InvalidAccessKeyId") as caught:
        open_s3("x", access_key="env:OTHER_ACCESS", secret_key="env:OTHER_SECRET").get("x")
    assert "does not know the access key" in caught.value.remedy


def test_a_missing_bucket_is_no_missing_object(open_s3):
    uses = {
        "get": lambda tier: tier.get("x"),
        "stat": lambda tier: tier.stat("x"),
        "list": lambda tier: list(tier.list()),
        "put": lambda tier: tier.put_if_absent("x", b"x"),
    }
    for use in uses.values():
        with pytest.raises(BucketMissing, match="no such bucket") as caught:
            use(open_s3("x", bucket="never-made"))
        assert "make the bucket" in caught.value.remedy


def test_a_write_of_which_the_answer_was_lost_is_known_as_ours(far, proxy):
    proxy.fail(Fault("lose"), times=1, methods=("PUT",))
    assert far.put_if_absent("object", BODY) is True
    assert len(sent(proxy, "PUT")) == 2
    assert far.get("object") == BODY


def test_a_write_that_is_sent_again_does_not_take_the_object_of_another(
    far, open_s3, proxy, request
):
    other = open_s3(f"far/{request.node.name}")
    assert other.put_if_absent("object", b"of the other")
    proxy.fail(Fault("status", 500), times=1, methods=("PUT",))
    assert far.put_if_absent("object", BODY) is False
    assert far.get("object") == b"of the other"


def test_what_is_damaged_on_the_way_is_not_written(far, proxy):
    proxy.fail(Fault("damage"), methods=("PUT",))
    with pytest.raises(errors.StorageError):
        far.put_if_absent("object", BODY)
    proxy.heal()
    assert not list(far.list())
    assert far.put_if_absent("object", BODY)
    assert far.get("object") == BODY


def test_thirty_threads_share_a_slow_line(s3_server, open_s3):
    with SlowProxy(s3_server.port, latency_s=0.03, bytes_per_s=80e6) as line:
        tier = open_s3("slow", endpoint=line.endpoint)
        tier.put_if_absent("object", BODY)
        spans = [(n * 9_000, 8_000) for n in range(30)]
        with ThreadPoolExecutor(30) as pool:
            found = list(pool.map(lambda span: tier.get("object", *span), spans))
    assert found == [BODY[start : start + nbytes] for start, nbytes in spans]
