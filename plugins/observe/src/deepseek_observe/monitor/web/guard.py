"""The guard: for those with the token, by a name of ours, from no other site's page."""

from __future__ import annotations

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_STRANGE: Final = (b"cross-site", b"same-site")  # another port of this machine is the latter
_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Around an ASGI application; what it refuses never gets there.

    A page of another site may make a browser ask us, with a name of its own that leads to
    127.0.0.1 (DNS rebinding): so `Host` must be a name of ours, and `Origin`, where there is one,
    the same. The token is compared in constant time.
    """

    def __init__(self, app: App, token: str, names: Iterable[str]) -> None:
        self._app = app
        self._token = token.encode()
        self._names = _LOCAL | {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what may be answered."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a web socket: closed unanswered
        refusal = self._refusal(scope)
        if refusal is not None:
            await _refuse(send, *refusal)
            return
        await self._app(scope, receive, _safely(send))

    def _refusal(self, scope: Scope) -> tuple[int, bytes] | None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if not self._is_ours(host):
            return 421, b"this name is not one of this monitor: see ds-sdk monitor --host\n"
        origin = headers.get(b"origin")
        if origin is not None and urlsplit(origin.decode("latin-1")).netloc != host:
            return 403, b""
        if headers.get(b"sec-fetch-site") in _STRANGE and not _is_navigation(headers):
            return 403, b""
        if not secrets.compare_digest(_given(scope, headers), self._token):
            return 401, b"give the token: ?token=... or Authorization: Bearer ...\n"
        return None

    def _is_ours(self, host: str) -> bool:
        """A number can't be rebound; a name must be known."""
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or _is_number(name)


def names_of(host: str) -> tuple[str, ...]:
    """The names by which a monitor that listens there may be called."""
    return (host, socket.gethostname(), socket.getfqdn())


def _is_number(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_navigation(headers: dict[bytes, bytes]) -> bool:
    """A link somewhere that a person follows; its page can't read the answer."""
    return (
        headers.get(b"sec-fetch-mode") == b"navigate"
        and headers.get(b"sec-fetch-dest") == b"document"
    )


def _given(scope: Scope, headers: dict[bytes, bytes]) -> bytes:
    kind, _, value = headers.get(b"authorization", b"").partition(b" ")
    if kind.lower() == b"bearer":
        return bytes(value.strip())
    query = parse_qs(scope["query_string"].decode("latin-1"), encoding="latin-1")
    return str(query.get("token", [""])[0]).encode("latin-1", "replace")


async def _refuse(send: Send, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), *_SAFE]
    headers.append((b"content-length", str(len(text)).encode()))
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})


def _safely(send: Send) -> Send:
    async def sent(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), *_SAFE]
        await send(message)

    return sent
