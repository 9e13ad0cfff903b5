"""Keys of S3, kept until they expire and asked for again before; they are shown nowhere."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from obstore.store import S3Credential

_log = logging.getLogger(__name__)
_EARLY_S: Final = 300.0
"""This long before they expire, keys are asked for again."""
_KEPT_S: Final = 900.0
"""Keys that do not say when they expire are asked for again after this: they may be renewed."""
_PAUSE_S: Final = 10.0
"""No more often than this while those at hand are still good."""


@attrs.frozen(kw_only=True)
class Keys:
    """What requests are signed with, until `expires_s` since the epoch; None: they do not say."""

    access_key: str = attrs.field(repr=False)
    secret_key: str = attrs.field(repr=False)
    token: str | None = attrs.field(default=None, repr=False)
    expires_s: float | None = None


@attrs.frozen(kw_only=True)
class KeySource:
    """A place that keys come from: `words` name it, `fetch` asks there.

    `fetch` raises `KeyTrouble`, or a `ConfigError` for what a user has written wrong. What
    `is_here`, in variables and files, is looked at when a tier is opened. One that `may_be_absent`
    and does not answer at first is taken for absent, and not asked again and again.
    """

    words: str
    fetch: Callable[[], Keys] = attrs.field(repr=False)
    is_here: bool = False
    may_be_absent: bool = False


class KeyTrouble(Exception):
    """A source gives no keys; `is_passing` if it may in a moment."""

    def __init__(self, why: str, *, remedy: str, is_passing: bool = False) -> None:
        super().__init__(why)
        self.why, self.remedy, self.is_passing = why, remedy, is_passing


class KeptKeys:
    """Keys of one source, for all threads; `now_s` tells the time since the epoch."""

    def __init__(self, source: KeySource, *, now_s: Callable[[], float] = time.time) -> None:
        self.words, self.is_here = source.words, source.is_here
        self._source, self._now_s = source, now_s
        self._lock = threading.Lock()
        self._keys: Keys | None = None
        self._good_until_s = 0.0
        self._asked_s = -_PAUSE_S
        self._is_absent = source.may_be_absent

    def current(self) -> Keys:
        """Those at hand, or new ones.

        Raises:
            KeyTrouble: there are none that are good.
            ConfigError: what a user has written leads to none.
        """
        with self._lock:
            now_s = self._now_s()
            if self._keys is not None and now_s < self._good_until_s - _EARLY_S:
                return self._keys
            is_good = self._keys is not None and now_s < self._good_until_s
            if self._keys is not None and is_good and 0 <= now_s - self._asked_s < _PAUSE_S:
                return self._keys
            self._asked_s = now_s
            return self._renew(is_good=is_good)

    def _renew(self, *, is_good: bool) -> Keys:
        try:
            keys = self._source.fetch()
        except KeyTrouble as trouble:
            trouble.is_passing &= not self._is_absent
            if self._keys is None or not is_good:
                raise
            # As AWS tools do: a source that is away for a while hurts nobody.
            _log.warning("keys of %s were not renewed yet: %s", self.words, trouble)
            return self._keys
        self._is_absent = False
        lasts_until_s = self._now_s() + _KEPT_S if keys.expires_s is None else keys.expires_s
        self._keys, self._good_until_s = keys, lasts_until_s
        return keys

    def forget(self) -> bool:
        """Ask anew at the next use; True if that gives other keys than those at hand."""
        with self._lock:
            old = self._keys
            self._keys = None
        try:
            return old is not None and self.current() != old
        except KeyTrouble:
            return False

    def __call__(self) -> S3Credential:
        """Hand them to obstore, which would show them in its configuration else."""
        keys = self.current()
        expires_s = self._good_until_s
        return {
            "access_key_id": keys.access_key,
            "secret_access_key": keys.secret_key,
            "token": keys.token,
            "expires_at": datetime.fromtimestamp(expires_s, UTC),
        }
