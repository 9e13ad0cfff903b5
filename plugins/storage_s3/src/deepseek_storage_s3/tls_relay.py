"""TLS by OpenSSL instead of obstore's own, for certificates that curl takes and that one does not.

obstore's TLS (rustls) refuses what is common for servers of one's own, though `ca=` names it: a
self-signed certificate as `openssl req -x509` makes it, which is one of an authority too; one of
X.509 v1; one whose host is its common name only. OpenSSL, and so curl, takes them. Where that is
so, obstore speaks HTTP to a relay on this machine's loopback, which speaks TLS to the server, and
checks its certificate on each connection. The relay lives in this process, and serves only those
who know a password that obstore was told.
"""

from __future__ import annotations

import base64
import http.client
import logging
import secrets
import socket
import ssl
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from deepseek_storage_s3.answers import Answer

_log = logging.getLogger(__name__)
_HOST: Final = "127.0.0.1"
_PIECE_NBYTES: Final = 1 << 18
_HOP: Final = {
    "connection",
    "proxy-authorization",
    "proxy-connection",
    "keep-alive",
    "te",
    "upgrade",
}


def refusal(endpoint: str, context: ssl.SSLContext, limit_s: float) -> str | None:
    """Why OpenSSL refuses the certificate of an `https:` endpoint; None if it takes it.

    Raises:
        OSError: there is no connection.
    """
    host, port = _address(endpoint)
    try:
        with (
            socket.create_connection((host, port), timeout=limit_s) as raw,
            context.wrap_socket(raw, server_hostname=host),
        ):
            return None
    except ssl.SSLCertVerificationError as error:
        return error.verify_message or "it does not verify"


class Relay:
    """Listens from birth to `close`; `proxy_url` is for obstore, as the proxy of its requests."""

    def __init__(self, endpoint: str, context: ssl.SSLContext, limit_s: float) -> None:
        self.address = _address(endpoint)
        self.endpoint = "http" + endpoint.removeprefix("https")
        self.refusal, self.trouble = "", ""  # of the last connection to the server
        self._context, self._limit_s = context, limit_s
        password = secrets.token_hex(16)
        self.authorization = f"Basic {base64.b64encode(f'ds:{password}'.encode()).decode()}"
        self._server = _Server((_HOST, 0), _Handler)
        self._server.relay = self
        self.proxy_url = f"http://ds:{password}@{_HOST}:{self._server.server_address[1]}"
        threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": 0.05},  # what a close may wait
            name="s3-tls-relay",
            daemon=True,
        ).start()

    def connect(self) -> http.client.HTTPSConnection:
        """A connection to the server, whose certificate is checked."""
        host, port = self.address
        return http.client.HTTPSConnection(host, port, timeout=self._limit_s, context=self._context)

    def explain(self, answer: Answer) -> Answer:
        """What went wrong between here and the server, of which obstore sees that it broke."""
        # Told once: the next connection may break for another reason.
        refusal, self.refusal = self.refusal, ""
        trouble, self.trouble = self.trouble, ""
        if refusal:
            words = "its certificate is refused"
            return Answer(kind="certificate", trouble=words, cause=refusal)
        return attrs.evolve(answer, cause=trouble or answer.cause)

    def close(self) -> None:
        """Listen no more; idempotent."""
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    relay: Relay
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: obstore sees that its connection is gone, and tries again."""
        _log.debug("a relayed connection broke", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One connection of obstore, and one to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are sent apart
    server: _Server
    _far: http.client.HTTPSConnection | None = None

    def _relay(self) -> None:
        relay = self.server.relay
        if not secrets.compare_digest(
            self.headers.get("Proxy-Authorization", ""), relay.authorization
        ):
            self.send_error(407)
            return
        self.close_connection = True  # unless all goes well
        try:
            if self._far is None:
                self._far = relay.connect()
                self._far.connect()
            self._send()
            self._answer(self._far.getresponse())
        except ssl.SSLCertVerificationError as error:
            relay.refusal = error.verify_message
            raise
        except OSError as error:
            relay.trouble = (error.strerror or str(error)).lower()
            raise
        relay.refusal, relay.trouble = "", ""

    def _send(self) -> None:
        assert self._far is not None
        parts = urlsplit(self.path)
        path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        self._far.putrequest(self.command, path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP:
                self._far.putheader(name, value)
        self._far.endheaders()
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(left, _PIECE_NBYTES))
            if not piece:
                raise ConnectionResetError
            left -= len(piece)
            self._far.send(piece)

    def _answer(self, found: http.client.HTTPResponse) -> None:
        self.send_response_only(found.status, found.reason)
        is_chunked = found.headers.get("Content-Length") is None
        has_body = self.command != "HEAD" and found.status not in (204, 304)
        for name, value in found.headers.items():
            if name.lower() not in {*_HOP, "transfer-encoding"}:
                self.send_header(name, value)
        if has_body and is_chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if has_body:
            self._pass(found, is_chunked=is_chunked)
        self.close_connection = found.will_close

    def _pass(self, found: http.client.HTTPResponse, *, is_chunked: bool) -> None:
        """Pass on a body; one that ends early ends the connection, so that obstore sees it."""
        while piece := found.read(_PIECE_NBYTES):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        if not is_chunked and found.length:
            raise ConnectionResetError
        if is_chunked:
            self.wfile.write(b"0\r\n\r\n")

    def finish(self) -> None:
        """Leave the server too."""
        self._hang_up()
        with suppress(OSError):
            super().finish()

    def _hang_up(self) -> None:
        if self._far is not None:
            self._far.close()
            self._far = None

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: names of objects are nobody's business."""

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _relay  # noqa: N815 - as http.server has it


def _address(endpoint: str) -> tuple[str, int]:
    parts = urlsplit(endpoint)
    return parts.hostname or "", parts.port or 443
