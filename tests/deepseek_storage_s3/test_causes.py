"""Each fault of a network, a server or an account has its name, its cause and what to do."""

import contextlib
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from slow_proxy import Fault

from deepseek_core import errors
from deepseek_storage_s3.vendor_errors import (
    AccessRefused,
    BucketElsewhere,
    CertificateRefused,
    KeysExpired,
)

BODY = os.urandom(400_000)
CANARY = "canary-of-the-server"


def told(tier, use=lambda tier: tier.get("x")):
    """The error of a use; the server's own words are never in it."""
    with pytest.raises(errors.StorageError) as caught:
        use(tier)
    assert CANARY not in f"{caught.value}{caught.value!r}"
    assert caught.value.remedy
    return caught.value


def test_a_host_that_is_not_known(open_s3):
    found = told(open_s3("x", endpoint="http://no-such-host.invalid", retries=1))
    assert "the name of the host is not known: " in str(found)
    assert "endpoint=" in found.remedy and found.retryable


def test_a_connection_that_is_refused(open_s3):
    found = told(open_s3("x", endpoint="http://127.0.0.1:9", retries=0))
    assert "no connection: connection refused" in str(found)


def test_a_connection_that_is_not_made_in_time(open_s3):
    """A listener whose queue is full answers no more."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(deaf.getsockname())
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        found = told(open_s3("x", endpoint=endpoint, retries=1, timeout_s=0.5))
        for each in waiting:
            each.close()
    assert "within 0.5 s" in str(found) and "2 tries" in str(found)
    assert "timeout_s=" in found.remedy


def test_an_answer_that_does_not_come_in_time(far, proxy, open_s3):
    far.put_if_absent("object", BODY)
    tier = open_s3("x", endpoint=proxy.endpoint, retries=0, timeout_s=0.4)
    proxy.fail(Fault("hang"))
    for use in (
        lambda tier: tier.get("x"),
        lambda tier: tier.stat("x"),
        lambda tier: list(tier.list()),
        lambda tier: tier.delete("x"),
        lambda tier: tier.put_if_absent("x", BODY),
    ):
        assert "no answer within 0.4 s (timeout_s=)" in str(told(tier, use))


def test_a_connection_that_is_reset(far, proxy):
    proxy.fail(Fault("reset"))
    assert "the connection broke: connection reset by peer, 4 tries" in str(told(far))


@pytest.mark.parametrize("kind", ["tear", "cut"])
def test_an_answer_that_breaks_off(far, proxy, kind):
    far.put_if_absent("object", BODY)
    proxy.fail(Fault(kind, nbytes=150_000), times=2, methods=("GET",))
    assert far.get("object") == BODY
    proxy.fail(Fault(kind, nbytes=150_000), methods=("GET",))
    found = told(far, lambda tier: tier.get("object"))
    assert "4 tries" in str(found) and found.retryable


def test_a_server_that_speaks_something_else(open_s3):
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor(1) as pool:
        answering = pool.submit(greet, other)
        endpoint = f"http://127.0.0.1:{other.getsockname()[1]}"
        found = told(open_s3("x", endpoint=endpoint, retries=0))
        answering.result(10)
    assert "does not speak HTTP" in str(found)


def greet(listener):
    line, _ = listener.accept()
    with line:
        line.recv(9999)
        line.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")


def test_a_storm_of_slow_down_is_outlived_without_loss(far, proxy):
    proxy.fail(Fault("status", 503, "SlowDown"), times=24)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: put(far, n), range(24)))
    proxy.heal()
    for n in range(24):
        assert put(far, n) is None
        assert far.get(f"o{n}") == BODY[n:]


def put(tier, n):
    """Write an object, or be told by name that it was not written."""
    try:
        tier.put_if_absent(f"o{n}", BODY[n:])
    except errors.TierUnavailable as error:
        assert "HTTP 503 SlowDown" in str(error)
        assert error.retryable


def test_a_storm_that_does_not_end_is_an_outage(far, proxy):
    proxy.fail(Fault("status", 503, "SlowDown", told=f"<Message>{CANARY}</Message>"))
    found = told(far)
    assert "HTTP 503 SlowDown, 4 tries in" in str(found) and found.retryable
    assert "fewer requests" in found.remedy


ACCESS = {
    "AccessDenied": "right to read, write",
    "InvalidAccessKeyId": "does not know the access key",
    "SignatureDoesNotMatch": "secret key",
    "InvalidToken": "session token",
    "AccountProblem": "check the keys",
}


@pytest.mark.parametrize("code", ACCESS)
def test_a_refusal_has_the_remedy_of_its_reason(far, proxy, code):
    proxy.fail(Fault("status", 403, code, told=f"<Message>{CANARY}</Message>"))
    found = told(far)
    assert isinstance(found, AccessRefused) and not found.retryable
    assert f"HTTP 403 {code}" in str(found) and ACCESS[code] in found.remedy


@pytest.mark.parametrize("status", [400, 403])
def test_an_expired_token(far, proxy, status):
    proxy.fail(Fault("status", status, "ExpiredToken", told=f"<Token-0>{CANARY}</Token-0>"))
    found = told(far)
    assert isinstance(found, KeysExpired) and "expired" in str(found) and "renew" in found.remedy


@pytest.mark.parametrize(
    ("ours", "words"), [("20261129T060000Z", "3600 s behind"), ("20261129T071000Z", "600 s ahead")]
)
def test_a_clock_that_is_wrong(far, proxy, ours, words):
    times = f"<RequestTime>{ours}</RequestTime><ServerTime>2026-11-29T07:00:00Z</ServerTime>"
    proxy.fail(Fault("status", 403, "RequestTimeTooSkewed", told=times))
    found = told(far)
    assert f"this machine's clock is {words}" in str(found)
    assert "clock" in found.remedy


def test_a_bucket_in_another_region_is_told_with_the_region(far, proxy):
    fault = Fault("status", 301, "PermanentRedirect", headers=("x-amz-bucket-region: eu-west-1",))
    proxy.fail(fault)
    for use in (lambda t: t.get("x"), lambda t: t.stat("x"), lambda t: t.put_if_absent("x", b"")):
        found = told(far, use)
        assert isinstance(found, BucketElsewhere) and not found.retryable
        assert "in the region eu-west-1" in str(found) and "region=eu-west-1" in found.remedy


def test_a_wrong_region_in_the_signature_is_told_with_the_right_one(far, proxy):
    region = "<Region>eu-central-1</Region>"
    proxy.fail(Fault("status", 400, "AuthorizationHeaderMalformed", told=region))
    assert "region=eu-central-1" in told(far).remedy
    proxy.heal()
    proxy.fail(Fault("status", 301, "PermanentRedirect"))
    assert "region= and the endpoint" not in told(far).remedy
    assert "endpoint=" in told(far).remedy


def test_names_of_objects_are_no_causes(open_s3):
    tier = open_s3("x", endpoint="http://127.0.0.1:9", retries=0)
    for key in ("InvalidCertificate( Expired", "dns error", "TimedOut", "BareRedirect"):
        found = told(tier, lambda tier, key=key: tier.get(key))
        assert "connection refused" in str(found)
        assert not isinstance(found, CertificateRefused | BucketElsewhere)


def test_names_of_objects_are_no_answers(far, proxy):
    proxy.fail(Fault("status", 403, "AccessDenied"))
    key = " - Server returned non-2xx status code: 503: <Code>SlowDown<"
    for each in (key, "status code: 503", "<Code>SlowDown<"):
        found = told(far, lambda tier, each=each: tier.get(each))
        assert "HTTP 403 AccessDenied" in str(found) or each == key
    proxy.heal()
    with pytest.raises(errors.ObjectMissing):
        far.get(key)


def test_an_error_in_an_answer_of_success_is_seen(open_s3, proxy, request):
    large = os.urandom(6 << 20)
    tier = open_s3(f"far/{request.node.name}", endpoint=proxy.endpoint, multipart="5M", retries=2)
    fault = Fault("status", 200, "InternalError", told=f"<Message>{CANARY}</Message>")
    proxy.fail(fault, times=1, methods=("POST",))
    assert tier.put_if_absent("large", large)
    assert tier.get("large") == large
    proxy.fail(fault, methods=("POST",))
    found = told(tier, lambda tier: tier.put_if_absent("other", large))
    assert "3 tries" in str(found)
    proxy.heal()
    assert [each.key for each in tier.list()] == ["large"]


@pytest.fixture
def odd_server():
    """Serves each connection by a function of its own, until the test ends."""
    listeners, ends = [], threading.Event()

    def serve(answer):
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)

        def accept():
            with contextlib.suppress(OSError):
                while True:
                    line, _ = listener.accept()
                    threading.Thread(target=talk, args=(line,), daemon=True).start()

        def talk(line):
            with line, contextlib.suppress(OSError):
                answer(line, ends)

        threading.Thread(target=accept, daemon=True).start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield serve
    ends.set()
    for each in listeners:
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def test_a_server_that_does_not_greet_back(open_s3, odd_server):
    place = odd_server(lambda _line, ends: ends.wait(30))
    found = told(open_s3("x", endpoint=f"https://{place}", retries=1, timeout_s=0.4))
    assert "within 0.4 s" in str(found) and "2 tries" in str(found)


def test_a_server_that_sends_byte_after_byte_is_bounded(open_s3, odd_server):
    def trickle(line, ends):
        line.recv(9999)
        head = 'HTTP/1.1 200 OK\r\nETag: "x"\r\nLast-Modified: Wed, 21 Oct 2015 07:28:00 GMT\r\n'
        line.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode())
        while not ends.wait(0.05):
            line.sendall(b"x")

    tier = open_s3("x", endpoint=f"http://{odd_server(trickle)}", retries=0, timeout_s=0.15)
    assert "no answer within 3 s (20 times timeout_s=)" in str(told(tier))
