"""Heads that can't be reached: told in seconds, by name, with what to do."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from deepseek_core import Session, errors
from deepseek_core.cli import main
from deepseek_ray.connection import connect
from deepseek_ray.head import check_head

LIMIT_S = 1.0


@pytest.fixture
def listener():
    """A port that is open."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def address_of(server):
    return f"127.0.0.1:{server.getsockname()[1]}"


def test_a_head_that_is_not_there():
    with socket.socket() as held:  # has the port, so that nobody else does, and does not listen
        held.bind(("127.0.0.1", 0))
        address = address_of(held)
        with pytest.raises(errors.DeviceUnavailable, match="Connection refused") as caught:
            check_head(address, LIMIT_S)
    assert address in caught.value.message
    assert "ray start --head" in caught.value.remedy


def test_a_head_that_hangs_is_given_up_in_time(listener):
    start_s = time.monotonic()
    with pytest.raises(errors.DeviceUnavailable, match=r"does not answer \(waited 1 s at most"):
        check_head(address_of(listener), LIMIT_S)
    assert time.monotonic() - start_s < LIMIT_S + 1


def test_another_server_is_no_head(listener):
    def serve():
        connection, _ = listener.accept()
        with connection:
            connection.recv(100)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    with pytest.raises(errors.DeviceUnavailable, match="is not a Ray head"):
        check_head(address_of(listener), LIMIT_S)
    thread.join()


SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # a frame of HTTP/2 with none


def serving(listener, greeting):
    """A server that greets each connection, and says nothing more."""

    def serve():
        # The listener is closed at the end of the test; who asks may go before it is greeted.
        with contextlib.ExitStack() as connections, contextlib.suppress(OSError):
            while True:
                connection = connections.enter_context(listener.accept()[0])
                with contextlib.suppress(OSError):
                    connection.sendall(greeting)

    threading.Thread(target=serve, daemon=True).start()


def test_a_head_that_answers_is_one(nodes):
    check_head(nodes.address, 10.0)


@pytest.mark.parametrize(
    ("greeting", "told"),
    [
        (SETTINGS, "does not answer"),
        (SETTINGS + b"\0\0\5\0\0\0\0\0\1<html", "is not a Ray head"),
        (SETTINGS + b"\0\0\4\3\0\0\0\0\1\0\0\0\1", "is not a Ray head"),  # RST_STREAM
        (b"\xff" * 20, "is not a Ray head"),
        (SETTINGS[:5], "does not answer"),
    ],
)
def test_a_server_that_only_speaks_like_one(listener, greeting, told):
    serving(listener, greeting)
    with pytest.raises(errors.DeviceUnavailable, match=told):
        check_head(address_of(listener), LIMIT_S)


# What a head of Ray 2.60 that asks for a token answers, as it was recorded.
REFUSED = (
    b"\0\0\x7d\1\5\0\0\0\1\x88@\x0ccontent-type\x10application/grpc\0\x0bgrpc-status\x0216"
    b"\0\x0cgrpc-message>InvalidAuthToken: Authentication token is missing or incorrect"
)
ANSWERED = b"\0\0\5\0\0\0\0\0\1\0\0\0\0\0"


def guarded(listener, token):
    """A head that lets in who sends this token, in the first frames of each connection."""

    def serve():
        with contextlib.suppress(OSError):  # closed at the end of the test
            while True:
                connection, _ = listener.accept()
                with connection:
                    is_right = token.encode() in connection.recv(4096)
                    connection.sendall(SETTINGS + (ANSWERED if is_right else REFUSED))

    threading.Thread(target=serve, daemon=True).start()


@pytest.mark.parametrize("token", ["a" * 64, "b" * 126, "c" * 127, "d" * 900])
def test_a_head_that_asks_for_a_token_gets_it(listener, token):
    guarded(listener, token)
    assert check_head(address_of(listener), LIMIT_S, f"Bearer {token}")
    assert not check_head(address_of(listener), LIMIT_S)


@pytest.mark.parametrize(
    ("mode", "told", "remedy"),
    [
        ("disabled", "and this process sends none", "set RAY_AUTH_MODE=token, and put the head's"),
        ("token", "does not take the one of this process", "put the head's token"),
    ],
)
def test_a_token_that_is_missing_or_wrong_is_told_at_once(listener, mode, told, remedy):
    guarded(listener, "right" * 8)
    variables = {"RAY_AUTH_MODE": mode, "RAY_AUTH_TOKEN": "wrong" * 8}
    command = [sys.executable, "-m", "deepseek_core", "devices", "--executor", "ray"]
    ended = subprocess.run(
        [*command, "--address", address_of(listener)],
        check=False, capture_output=True, text=True, timeout=60,
        env={**os.environ, **variables},
    )  # fmt: skip
    assert ended.returncode != 0
    assert "asks for a token" in ended.stderr
    assert told in ended.stderr
    assert f"fix: {remedy}" in ended.stderr
    assert "wrong" not in ended.stderr


def test_a_head_of_another_version_is_told_with_both_versions(nodes):
    import ray

    ray.shutdown()
    client = ray._raylet.GcsClient(address=nodes.address)
    key, space = b"CLUSTER_METADATA", b"cluster"
    before = client.internal_kv_get(key, space)
    other = {**json.loads(before), "ray_version": "2.50.0"}
    client.internal_kv_put(key, json.dumps(other).encode(), True, space)
    try:
        with pytest.raises(errors.DeviceUnavailable, match=r"Ray: 2\.50\.0.*Ray: ") as caught:
            connect(nodes.address, 10.0)
    finally:
        client.internal_kv_put(key, before, True, space)
    assert ray.__version__ in caught.value.message


@pytest.mark.parametrize(
    "address",
    ["10.0.0.5", "ray://10.0.0.5:10001", ":6379", "a:b", "a:99999", "a:0", "::1", "fd00::5:6379"],
)
def test_what_is_no_address(address):
    with pytest.raises(errors.ConfigError, match="not an address of a Ray head"):
        check_head(address, LIMIT_S)


def test_an_address_of_ip_version_6_is_one():
    with pytest.raises(errors.DeviceUnavailable, match=r"no Ray head at \[::1\]:9: ") as caught:
        check_head("[::1]:9", LIMIT_S)
    assert "Name or service" not in caught.value.message


def test_a_process_that_is_connected_by_ray_client_is_told(monkeypatch):
    import ray.util.client

    # A client needs grpcio, which nothing here does: as if it were connected.
    monkeypatch.setattr(ray.util.client.ray, "is_connected", lambda: True)
    with pytest.raises(errors.ConfigError, match="by Ray Client") as caught:
        connect("127.0.0.1:9", LIMIT_S)
    assert "ray job submit" in caught.value.remedy


@pytest.mark.parametrize("address", ["", "auto"])
def test_a_stale_variable_is_named_and_not_waited_for(listener, monkeypatch, address):
    monkeypatch.setenv("RAY_ADDRESS", address_of(listener))
    listener.close()
    start_s = time.monotonic()
    with pytest.raises(errors.DeviceUnavailable, match="no Ray head at") as caught:
        connect(address, LIMIT_S)
    assert caught.value.remedy.startswith("RAY_ADDRESS names it: unset it, or start")
    assert time.monotonic() - start_s < LIMIT_S + 5


def test_a_cluster_that_ran_is_not_waited_for(listener, monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    gone = address_of(listener)
    listener.close()
    monkeypatch.setattr(
        "ray._private.services.canonicalize_bootstrap_address_or_die", lambda _given: gone
    )
    start_s = time.monotonic()
    with pytest.raises(errors.DeviceUnavailable, match=f"no Ray head at {gone}"):
        connect("auto", LIMIT_S)
    assert time.monotonic() - start_s < LIMIT_S + 5


def test_a_forked_child_is_told_and_leaves_the_actors_of_its_parent_alone(nodes):
    given = {"cluster_ray": {"address": nodes.address}}
    with Session(executor="ray", devices=["onnx"], settings=given, threads=1) as session:
        held = [session.planner.pool.open("ray:a/onnx:cpu")]
        child = os.fork()
        if child == 0:
            try:
                connect(nodes.address, 10.0)
            except errors.Interrupted:
                handle = held.pop().pulse.actor
                handle.__del__()  # as when the last one is freed
                time.sleep(0.5)
                os._exit(7)
            finally:
                os._exit(1)
        assert exit_code(child, 20.0) == 7
        time.sleep(0.5)
        held[0].telemetry()


def exit_code(child, limit_s):
    until_s = time.monotonic() + limit_s
    while time.monotonic() < until_s:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def test_a_session_and_the_command_tell_it(listener, capsys):
    address = address_of(listener)
    listener.close()
    settings = {"cluster_ray": {"address": address}}
    with pytest.raises(errors.DeviceUnavailable, match="no Ray head at"):
        Session(executor="ray", settings=settings)
    assert main(["devices", "--executor", "ray", "--address", address]) != 0
    told = capsys.readouterr().err
    assert f"no Ray head at {address}" in told
    assert "ray start --head" in told
