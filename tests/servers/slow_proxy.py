"""A TCP proxy before an HTTP server that makes it far away, slow, or faulty.

    with SlowProxy(server.port, latency_s=0.03, bytes_per_s=80e6) as proxy:
        ...                                  # talk to proxy.endpoint
        proxy.fail(Fault("status", 503), times=2)

Each request is held back by `latency_s` before the server gets it; each connection's answers pass
at `bytes_per_s`. The proxy is a thread of this process, or, for benchmarks, a process of its own:

    with proxy_process(server.port, latency_s=0.03, bytes_per_s=80e6) as endpoint: ...
"""

from __future__ import annotations

import argparse
import asyncio
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal

HOST = "127.0.0.1"
_PIECE_NBYTES = 1 << 18
_FINEST_SLEEP_S = 2e-3  # epoll wakes up to a millisecond late: sleep less often, and longer
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """What happens to a request.

    - `status`: it is answered with this HTTP status (and S3 error code); the server never sees it.
    - `reset`: the connection is reset before the server sees it.
    - `hang`: nothing happens, until the client gives up.
    - `lose`: the server does it, and the connection is reset instead of the answer.
    - `cut`: the answer breaks off after `nbytes` bytes, head included.
    - `tear`: the same, with a reset.
    - `damage`: the last byte of what is sent arrives as another one.
    """

    kind: Literal["status", "reset", "hang", "lose", "cut", "tear", "damage"]
    status: int = 500
    code: str = "InternalError"
    nbytes: int = 1000
    told: str = ""
    """More of the answer's body, in XML."""
    headers: tuple[str, ...] = ()


@dataclass
class _Plan:
    fault: Fault
    times: int | None
    methods: tuple[str, ...]


class SlowProxy:
    """Listens from `__enter__` to `__exit__`; `requests` are those seen, as `METHOD /path`."""

    def __init__(
        self, port: int, *, latency_s: float = 0.0, bytes_per_s: float | None = None
    ) -> None:
        self.latency_s, self.bytes_per_s = latency_s, bytes_per_s
        self.requests: list[str] = []
        self._target = port
        self._plans: list[_Plan] = []
        self._lock = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server((HOST, 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.endpoint = f"http://{HOST}:{self.port}"
        self._thread = threading.Thread(target=self._run, name="slow-proxy", daemon=True)

    def fail(
        self, fault: Fault, *, times: int | None = None, methods: tuple[str, ...] = ()
    ) -> None:
        """Let the next requests fail, or all until `heal`; `methods` restricts which."""
        with self._lock:
            self._plans.append(_Plan(fault, times, methods))

    def heal(self) -> None:
        """Let no request fail any more."""
        with self._lock:
            self._plans.clear()

    def __enter__(self) -> SlowProxy:
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    def _stop(self) -> None:
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _serve(self) -> None:
        server = await asyncio.start_server(
            self._connect, sock=self._listener, limit=_PIECE_NBYTES * 2
        )
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers: asyncio.Task[None] | None = None
        upstream: asyncio.StreamWriter | None = None
        try:
            far, upstream = await asyncio.open_connection(
                HOST, self._target, limit=_PIECE_NBYTES * 2
            )
            connection = _Connection(self, reader, writer, upstream)
            answers = asyncio.create_task(connection.answers(far))
            await connection.requests()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # either side has gone, or the proxy closes
        finally:
            if answers is not None:
                answers.cancel()
            for end in (writer, upstream):
                if end is not None:
                    end.close()

    def _fault_of(self, method: str) -> Fault | None:
        with self._lock:
            for plan in self._plans:
                if plan.times == 0 or (plan.methods and method not in plan.methods):
                    continue
                if plan.times is not None:
                    plan.times -= 1
                return plan.fault
        return None


class _Connection:
    """One client, one connection to the server."""

    def __init__(
        self,
        proxy: SlowProxy,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: asyncio.StreamWriter,
    ) -> None:
        self._proxy, self._reader, self._writer, self._upstream = proxy, reader, writer, upstream
        self._lost = False  # the answer is not passed on
        self._left: int | None = None  # bytes until the answer breaks off
        self._tears = False  # then the connection is reset

    async def requests(self) -> None:
        """Pass on requests, one after the other."""
        while True:
            head = await self._reader.readuntil(b"\r\n\r\n")
            method, path = head.split(b" ", 2)[:2]
            self._proxy.requests.append(f"{method.decode()} {path.decode()}")
            match = _LENGTH.search(head)
            length = int(match[1]) if match else 0
            fault = self._proxy._fault_of(method.decode())
            if fault is not None and fault.kind in ("status", "reset", "hang"):
                await self._pass(b"", length, nowhere=True)
                await self._misbehave(fault)
                continue
            self._lost = fault is not None and fault.kind == "lose"
            breaks_off = fault is not None and fault.kind in ("cut", "tear")
            self._left = fault.nbytes if fault is not None and breaks_off else None
            self._tears = fault is not None and fault.kind == "tear"
            if self._proxy.latency_s:
                await asyncio.sleep(self._proxy.latency_s)
            await self._pass(head, length, damaged=fault is not None and fault.kind == "damage")

    async def answers(self, far: asyncio.StreamReader) -> None:
        """Pass on answers at the rate of the line."""
        free_s = 0.0
        while piece := await far.read(_PIECE_NBYTES):
            if self._lost:
                self._reset()
                return
            if self._left is not None:
                piece, self._left = piece[: self._left], self._left - len(piece)
            if self._proxy.bytes_per_s:
                now_s = time.monotonic()
                free_s = max(now_s, free_s) + len(piece) / self._proxy.bytes_per_s
                if free_s - now_s > _FINEST_SLEEP_S:
                    await asyncio.sleep(free_s - now_s)
            self._writer.write(piece)
            await self._writer.drain()
            if self._left is not None and self._left <= 0:
                if self._tears:
                    self._reset()
                self._writer.close()  # an end, not a reset: what was sent arrives
                return
        self._writer.close()

    async def _pass(
        self, head: bytes, length: int, *, nowhere: bool = False, damaged: bool = False
    ) -> None:
        self._upstream.write(head)
        while length:
            piece = await self._reader.read(min(length, _PIECE_NBYTES))
            if not piece:
                raise ConnectionResetError
            length -= len(piece)
            if damaged and not length:
                piece = piece[:-1] + bytes([piece[-1] ^ 1])
            if not nowhere:
                self._upstream.write(piece)
                await self._upstream.drain()

    async def _misbehave(self, fault: Fault) -> None:
        if fault.kind == "hang":
            await self._reader.read()  # the client has gone when this ends
            raise ConnectionResetError
        if fault.kind == "reset":
            self._reset()
            raise ConnectionResetError
        told = f"<Code>{fault.code}</Code><Message>injected</Message>{fault.told}"
        body = f"<Error>{told}</Error>".encode()
        lines = [f"HTTP/1.1 {fault.status} injected", f"Content-Length: {len(body)}"]
        head = "\r\n".join([*lines, *fault.headers, ""])
        self._writer.write(head.encode() + b"Content-Type: application/xml\r\n\r\n" + body)
        await self._writer.drain()

    def _reset(self) -> None:
        peer: Any = self._writer.get_extra_info("socket")
        with suppress(OSError):
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


@contextmanager
def proxy_process(
    port: int, *, latency_s: float = 0.0, bytes_per_s: float | None = None
) -> Iterator[str]:
    """The endpoint of a proxy in a process of its own, which does not take our interpreter."""
    rate = [] if bytes_per_s is None else [f"--mb-per-s={bytes_per_s / 1e6}"]
    process = subprocess.Popen(
        [sys.executable, "-P", __file__, str(port), f"--latency-ms={latency_s * 1e3}", *rate],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdin is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stdin.close()


def main() -> None:
    """Serve until the parent closes our standard input."""
    parser = argparse.ArgumentParser(description="a slow line to a local HTTP server")
    parser.add_argument("port", type=int)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--mb-per-s", type=float)
    options = parser.parse_args()
    rate = None if options.mb_per_s is None else options.mb_per_s * 1e6
    with SlowProxy(options.port, latency_s=options.latency_ms / 1e3, bytes_per_s=rate) as proxy:
        print(proxy.endpoint, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
