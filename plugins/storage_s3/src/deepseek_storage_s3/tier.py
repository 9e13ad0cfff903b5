"""A tier in a bucket of an S3 object store: one object of ours, one object there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NoReturn, TypeVar

from deepseek_core import ObjectStat, Tier, TierProfile, errors
from deepseek_storage_s3 import options
from deepseek_storage_s3.client import Client, RefusedAnswer
from deepseek_storage_s3.reading import head, list_objects, list_some, read_object
from deepseek_storage_s3.stores import Pace
from deepseek_storage_s3.writing import Writer

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import S3Store

T = TypeVar("T")
ASIDE: Final = ".ds-aside"
"""Front of the keys of parts and probes, which are no objects of the tier."""

_MOST_NBYTES: Final = 5 << 30  # of one PUT and of one copied part, as S3 has it
_STALE_S: Final = 7 * 86_400.0


def open_tier(url: str) -> S3Tier:
    """Open the place in a bucket that an `s3` URL names; no request is sent yet.

    Raises:
        ConfigError: the URL is wrong, or a key is not where it says.
    """
    return S3Tier(url)


class S3Tier(Tier):
    """Objects below a prefix of a bucket. It is pickled as its URL, which holds no secret."""

    def __init__(self, url: str) -> None:
        self._options = options.parse(url)
        self.url = url
        self.failure_domains = self._options.domains
        # what every key of the tier begins with in the bucket
        self._front = f"{self._options.prefix}/" if self._options.prefix else ""
        self._client: Client | None = Client(self._options, url)
        self._writer = Writer(self._send, url=url, verify=self._options.verify)
        self._has_seen_bucket = False
        self._has_swept = False  # whether what dead writers left aside was removed
        self._measured: tuple[float, float] | None = None  # latency in seconds, bytes per second

    def put_if_absent(self, key: str, data: bytes | bytearray | memoryview) -> bool:
        """Write an object unless the key is taken; True if it was written.

        Raises:
            TierFull: the server has no space left.
            TierUnavailable: the server can't be reached or refuses us.
            InputError: the key is not allowed, or there are more than 5 GiB.
        """
        path, view = self._path(key), memoryview(data).cast("B")
        if len(view) > _MOST_NBYTES:
            raise errors.InputError(
                f"{self.url}: an object of {len(view)} bytes", remedy="S3 writes 5 GiB at once"
            )
        if len(view) > self._options.multipart_nbytes:
            self._sweep()
            return self._writer.put_in_parts(path, view, f"{self._front}{ASIDE}/")
        return self._writer.put(path, view)

    def get(self, key: str, start: int = 0, nbytes: int | None = None) -> bytes:
        """Bytes from `start`; all the rest without `nbytes`, fewer where the object ends.

        Raises:
            ObjectMissing: no such object.
            TierUnavailable: the server can't be reached or refuses us.
            InputError: the key or the range is not allowed.
        """
        path = self._path(key)
        if start < 0 or (nbytes is not None and nbytes < 0):
            raise errors.InputError(f"no range: {start=}, {nbytes=}", remedy="use 0 or more")
        if nbytes == 0:
            self.stat(key)
            return b""
        try:
            return self._send(
                f"reading {key!r}",
                lambda store: read_object(store, path, start, nbytes),
                expected=(416,),
                pace="download",
            )
        except RefusedAnswer as error:
            if error.answer.status == 416:  # the range begins where the object has ended
                return b""
            self._raise_missing(key)

    def delete(self, key: str) -> None:
        """Remove an object; none of that name is no error.

        Raises:
            TierUnavailable: the server can't be reached or refuses us.
            InputError: the key is not allowed.
        """
        self._writer.delete(self._path(key))

    def list(self, prefix: str = "") -> Iterator[ObjectStat]:
        """Objects whose key starts with `prefix`, by key.

        Raises:
            TierUnavailable: the server can't be reached or refuses us.
        """
        folder = self._front + prefix[: prefix.rfind("/") + 1]
        found = self._send(
            f"listing {prefix!r}", lambda store: list_objects(store, folder), pace="download"
        )
        hidden = f"{ASIDE}/"
        stats = map(self._stat_of, found)
        wanted = (s for s in stats if s.key.startswith(prefix) and not s.key.startswith(hidden))
        # Not every server lists by key: SeaweedFS puts `b/2` before `b-1`.
        yield from sorted(wanted, key=lambda stat: stat.key)

    def stat(self, key: str) -> ObjectStat:
        """Size and age of an object.

        Raises:
            ObjectMissing: no such object.
            TierUnavailable: the server can't be reached or refuses us.
        """
        path = self._path(key)
        try:
            return self._stat_of(self._send(f"asking for {key!r}", lambda s: head(s, path)))
        except RefusedAnswer:
            self._raise_missing(key)

    def profile(self) -> TierProfile:
        """Latency and bandwidth as given, usual, or with `probe=1` measured once.

        Raises:
            TierUnavailable: the server can't be reached or refuses us.
        """
        if self._options.probe and self._measured is None:
            self._measured = self._writer.measure(f"{self._front}{ASIDE}/probe")
        given = self._options.latency_s, self._options.bytes_per_s
        latency_s, bytes_per_s = self._measured or given
        return TierProfile(
            medium="object-store",
            latency_s=latency_s,
            bytes_per_s=bytes_per_s,
            nines=self._options.nines,
            evidence="simulated" if self.failure_domains else "hardware",
        )

    def close(self) -> None:
        """Let go of the connections; idempotent."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def __reduce__(self) -> tuple[Callable[[str], S3Tier], tuple[str]]:
        return open_tier, (self.url,)

    def __repr__(self) -> str:
        return f"S3Tier({self.url!r})"

    def _path(self, key: str) -> str:
        self.check_key(key)
        path = self._front + key
        if key.startswith(f"{ASIDE}/") or "\\" in key:
            raise errors.InputError(
                f"{key[:100]!r} is not a key in S3",
                remedy=f"no backslash, and no {ASIDE}/ in front",
            )
        self.check_key(path)  # the prefix counts where the length is limited
        return path

    def _send(
        self,
        what: str,
        request: Callable[[S3Store], T],
        *,
        expected: tuple[int, ...] = (),
        pace: Pace = "short",
    ) -> T:
        client = self._client
        if client is None:
            raise errors.StorageError(f"{self.url} is closed", url=self.url, remedy="open it again")
        found = client.call(what, request, expected=expected, pace=pace)
        self._has_seen_bucket = True
        return found

    def _raise_missing(self, key: str) -> NoReturn:
        """Say that an object is missing, unless it is the bucket."""
        if not self._has_seen_bucket:  # an answer to HEAD has no body that would tell
            self._send("looking for the bucket", lambda store: list_some(store, self._front))
        raise errors.ObjectMissing(f"{self.url} has no object {key!r}", url=self.url) from None

    def _stat_of(self, meta: ObjectMeta) -> ObjectStat:
        return ObjectStat(
            key=meta["path"].removeprefix(self._front),
            nbytes=meta["size"],
            modified_s=meta["last_modified"].timestamp(),
        )

    def _sweep(self) -> None:
        """Remove, once, what writers that died days ago left aside."""
        if self._has_swept:
            return
        self._has_swept = True
        folder = f"{self._front}{ASIDE}/"
        for meta in self._send("listing what is left aside", lambda s: list_objects(s, folder)):
            if time.time() - meta["last_modified"].timestamp() > _STALE_S:
                self._writer.delete(meta["path"])
