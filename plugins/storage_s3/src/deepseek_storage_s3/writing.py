"""Requests that write: create or fail, in one piece or in parts, and checked."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from deepseek_core import errors
from deepseek_storage_s3.client import RefusedAnswer
from deepseek_storage_s3.reading import read_object
from deepseek_storage_s3.stores import Pace

if TYPE_CHECKING:
    from obstore.store import S3Store

T = TypeVar("T")
LARGE_NBYTES: Final = 16 << 20
"""More than this may take longer than the time-out of a request."""

_WRITER: Final = "ds-writer"
_CHUNK_NBYTES: Final = 16 << 20
_PARTS_AT_ONCE: Final = 8
_MD5: Final = re.compile(r'"?([0-9a-f]{32})"?')
_PROBE_NBYTES: Final = 1 << 20


class Send(Protocol):
    """Sends a request, again where that helps; raises `RefusedAnswer` or an error of the SDK."""

    def __call__(
        self,
        what: str,
        request: Callable[[S3Store], T],
        *,
        expected: tuple[int, ...] = (),
        pace: Pace = "short",
    ) -> T:
        """The result; statuses that are `expected` are no failures, but `RefusedAnswer`."""


class Writer:
    """Writes objects of one bucket; safe to use from several threads."""

    def __init__(self, send: Send, *, url: str, verify: bool) -> None:
        self._send, self._url = send, url
        self._verify = verify  # until an entity tag turns out to be no MD5 here

    def put(self, path: str, view: memoryview) -> bool:
        """Create an object in one request: the server decides who was first.

        Raises:
            TierUnavailable: it failed, or what arrived is not what was sent.
        """
        token = secrets.token_hex(16)
        attributes = {"Content-Type": "application/octet-stream", _WRITER: token}

        def create(store: S3Store) -> Any:
            import obstore

            return obstore.put(
                store, path, view, mode="create", attributes=attributes, use_multipart=False
            )

        try:
            pace: Pace = "upload" if len(view) > LARGE_NBYTES else "short"
            made = self._send(f"writing {path!r}", create, pace=pace)
        except RefusedAnswer as error:
            # Who was first may be an earlier try of ours, of which the answer was lost.
            if error.tries == 1 or not self._wrote(path, token):
                return False
            made = {"e_tag": None}
        self._check(path, view, made["e_tag"])
        return True

    def put_in_parts(self, path: str, view: memoryview, folder: str) -> bool:
        """Write an object aside over several connections; the server then copies it, or refuses.

        Raises:
            TierUnavailable: it failed.
        """
        aside = f"{folder}{secrets.token_hex(16)}"

        def upload(store: S3Store) -> Any:
            import obstore

            return obstore.put(
                store, aside, view, chunk_size=_CHUNK_NBYTES, max_concurrency=_PARTS_AT_ONCE
            )

        def create(store: S3Store) -> None:
            import obstore

            obstore.copy(store, aside, path, overwrite=False)

        try:
            self._send(f"writing {path!r} in parts", upload, pace="upload")
            self._send(f"naming {path!r}", create, pace="upload")
        except RefusedAnswer as error:
            # As above; a copy has no writer's name, but an equal object is as good as ours.
            return error.tries > 1 and self._equals(path, view)
        finally:
            # What is left is swept by a later write; the outcome is decided.
            with suppress(errors.TierUnavailable):
                self.delete(aside)
        return True

    def delete(self, path: str) -> None:
        """Remove an object, if it is there.

        Raises:
            TierUnavailable: it failed.
        """

        def remove(store: S3Store) -> None:
            import obstore

            obstore.delete(store, path)

        try:
            self._send(f"deleting {path!r}", remove)
        except RefusedAnswer:
            return  # there was none

    def measure(self, path: str) -> tuple[float, float]:
        """Seconds until the first byte and bytes per second, by reading an object of 1 MiB.

        Raises:
            TierUnavailable: it failed.
        """
        path = f"{path}-{secrets.token_hex(8)}"
        self.put(path, memoryview(secrets.token_bytes(_PROBE_NBYTES)))
        try:
            first_s = min(self._time(path, 1) for _ in range(4))
            whole_s = min(self._time(path, _PROBE_NBYTES) for _ in range(3))
        finally:
            self.delete(path)
        return first_s, _PROBE_NBYTES / max(whole_s - first_s, 1e-6)

    def _time(self, path: str, nbytes: int) -> float:
        start_s = time.perf_counter()
        self._send("measuring", lambda store: read_object(store, path, 0, nbytes))
        return time.perf_counter() - start_s

    def _wrote(self, path: str, token: str) -> bool:
        def writer(store: S3Store) -> object:
            import obstore

            return obstore.get(store, path, options={"head": True}).attributes.get(_WRITER)

        try:
            return self._send(f"asking who wrote {path!r}", writer) == token
        except RefusedAnswer:
            return False

    def _check(self, path: str, view: memoryview, etag: str | None) -> None:
        """Compare what the server has with what was sent: by MD5, where its tag is one."""
        if not self._verify:
            return
        match = _MD5.fullmatch(etag or "")
        if match and match[1] == hashlib.md5(view, usedforsecurity=False).hexdigest():
            return
        if not self._equals(path, view):
            self.delete(path)
            raise errors.TierUnavailable(
                f"{self._url}: {path!r} came to the server damaged",
                url=self._url,
                remedy="write it again; look at the network",
            )
        if match:  # encrypted by a key of the server, say: then it tells nothing
            self._verify = False

    def _equals(self, path: str, view: memoryview) -> bool:
        try:
            found = self._send(
                f"reading {path!r} back", lambda s: read_object(s, path, 0, None), pace="download"
            )
        except RefusedAnswer:
            return False
        return found == view
