"""Requests to servers that give keys: bounded, never redirected, refusals in our words."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import attrs

from deepseek_storage_s3.keys import KeyTrouble

_LARGEST: Final = 1 << 20
_CODE: Final = re.compile("<Code>([A-Za-z0-9.]{1,64})</Code>")
METADATA_S: Final = 2.0
"""A server of this machine or its network is near, or is not there."""


class KeysRefused(KeyTrouble):
    """An answer that is none; `status` is that of HTTP."""

    def __init__(self, why: str, *, status: int, remedy: str) -> None:
        super().__init__(why, remedy=remedy, is_passing=status >= 500 or status == 429)
        self.status = status


class Late(KeyTrouble):
    """There is a connection, and no answer in time."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Tokens go where they were meant to go, and nowhere else."""

    def redirect_request(self, *_request: Any) -> None:
        """None: a redirection is a refusal."""


@attrs.frozen(kw_only=True)
class Asker:
    """Asks one kind of server; `remedy` is what to do when it gives nothing.

    One that is near is asked without a proxy.
    """

    remedy: str
    limit_s: float = METADATA_S
    is_near: bool = True
    context: ssl.SSLContext | None = attrs.field(default=None, repr=False)

    def ask(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> str:
        """The text of its answer.

        Raises:
            KeyTrouble: it refuses, or does not answer.
        """
        place = f"{urlsplit(url).scheme}://{urlsplit(url).netloc}"
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({} if self.is_near else None),
            urllib.request.HTTPSHandler(context=self.context),
            _NoRedirect,
        )
        try:
            if urlsplit(url).scheme not in ("http", "https"):
                raise ValueError("it is no http: or https: URL")
            request = urllib.request.Request(  # noqa: S310 - see above
                url, data=body, headers=dict(headers or {}), method=method
            )
            with opener.open(request, timeout=self.limit_s) as answer:
                return str(answer.read(_LARGEST).decode("utf-8"))
        except urllib.error.HTTPError as error:
            raise self._refused(place, error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            why = f"{place} does not answer: {self._reason(error)}"
            # What happens before there is a connection comes as an URLError.
            made = Late if isinstance(error, TimeoutError) else KeyTrouble
            raise made(why, remedy=self.remedy, is_passing=True) from None

    def _refused(self, place: str, error: urllib.error.HTTPError) -> KeysRefused:
        with error:
            code = _CODE.search(error.read(_LARGEST).decode("utf-8", "replace"))
        why = f"{place} answered HTTP {error.code}{f' {code[1]}' if code else ''}"
        return KeysRefused(why, status=error.code, remedy=self.remedy)

    def _reason(self, error: Exception) -> str:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            return f"no answer within {self.limit_s:g} s"
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {reason.verify_message[:200]}"
        return str(getattr(reason, "strerror", None) or reason)[:200]

    def token_of(self, file: str) -> str:
        """The token that a file holds now.

        Raises:
            KeyTrouble: it holds none.
        """
        try:
            return self.one_line(Path(file).expanduser().read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise KeyTrouble(f"the token in {file}: {why}", remedy=self.remedy) from None

    def one_line(self, text: str) -> str:
        """A token that may stand in a header.

        Raises:
            KeyTrouble: it may not.
        """
        line = text.strip()
        if not line or not line.isascii() or not line.isprintable():
            raise KeyTrouble("its token is not a line of text", remedy=self.remedy)
        return line
