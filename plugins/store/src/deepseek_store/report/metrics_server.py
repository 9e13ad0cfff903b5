"""Serves a store's metrics to Prometheus, in a thread of a process that has the store open."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from deepseek_core import DeepSeekError, errors
from deepseek_store.report.metrics import render
from deepseek_store.report.status import StoreStatus, look

if TYPE_CHECKING:
    from deepseek_store.store import Store

_LOG: Final = logging.getLogger(__name__)


class MetricsServer:
    """Answers `/metrics` until it is closed; a look at the store is kept for `keep_s`.

    Raises:
        ConfigError: the port is taken, or the host is none of ours.
    """

    def __init__(
        self, store: Store, *, host: str = "127.0.0.1", port: int = 0, keep_s: float = 5.0
    ):
        self._store, self._keep_s = store, keep_s
        self._looking = threading.Lock()
        self._status: StoreStatus | None = None  # the last look, good until `_until_s`
        self._until_s = -float("inf")
        handler = type("_Handler", (_Handler,), {"text": self.text})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except (OSError, OverflowError) as error:
            raise errors.ConfigError(
                f"{host}:{port} can't be listened on: {error}", remedy="choose another --port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="ds-metrics"
        )
        self._thread.daemon = True
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a scraper finds it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/metrics"

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The page in the format asked for, and that format's name.

        Scrapers that come together share one look, which walks through all objects.
        """
        with self._looking:
            if self._status is None or time.monotonic() >= self._until_s:
                self._status = look(self._store)
                self._until_s = time.monotonic() + self._keep_s
            return render(self._status, accept)

    def close(self) -> None:
        """End it; requests under way are answered."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    """GET /metrics; the class is rebuilt for each server, with its `text`."""

    server_version = "deepseek-store"
    protocol_version = "HTTP/1.1"
    timeout = 30.0

    text: Callable[[str], tuple[bytes, str]]
    """Makes the page."""

    def do_GET(self) -> None:
        """Answer a scraper."""
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            self._answer(404, b"only /metrics is here\n")
            return
        try:
            body, kind = self.text(self.headers.get("Accept", ""))
        except DeepSeekError as error:
            self._answer(503, f"{error}\n".encode())
        else:
            self._answer(200, body, kind)

    def _answer(self, code: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Into the log, not onto stderr."""
        _LOG.debug("%s " + format, self.address_string(), *args)
