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


@attrs.frozen(kw_only=True)
class _Kept:
    keys: Keys
    good_until_s: float


class KeptKeys:
    """Keys of one source, for all threads; `now_s` tells the time since the epoch."""

    def __init__(self, source: KeySource, *, now_s: Callable[[], float] = time.time) -> None:
        self.words, self.is_here = source.words, source.is_here
        self._source, self._now_s = source, now_s
        self._asking = threading.Lock()  # one thread asks, the others take what it gets
        self._kept: _Kept | None = None
        self._asked_s = -_PAUSE_S  # when the source was last asked
        # there may be no such source here: it has never answered
        self._is_absent = source.may_be_absent

    def current(self) -> Keys:
        """Current keys, or new ones; no caller waits for new ones while the old are valid.

        Raises:
            KeyTrouble: there are none that are good.
            ConfigError: what a user has written leads to none.
        """
        return self._current().keys

    def _current(self) -> _Kept:
        kept, now_s = self._kept, self._now_s()
        if kept is not None and now_s < kept.good_until_s - _EARLY_S:
            return kept
        is_good = kept is not None and now_s < kept.good_until_s
        if kept is not None and is_good and 0 <= now_s - self._asked_s < _PAUSE_S:
            return kept
        if not self._asking.acquire(blocking=not is_good):
            assert kept is not None
            return kept
        try:
            # Another thread may have asked while this one waited.
            return self._renew(kept) if self._kept is kept or self._kept is None else self._kept
        finally:
            self._asking.release()

    def _renew(self, kept: _Kept | None) -> _Kept:
        self._asked_s = self._now_s()
        try:
            keys = self._source.fetch()
        except KeyTrouble as trouble:
            trouble.is_passing &= not self._is_absent
            if kept is None or self._now_s() >= kept.good_until_s:
                raise
            # As AWS tools do: a source that is away for a while hurts nobody.
            _log.warning("keys of %s were not renewed yet: %s", self.words, trouble)
            return kept
        self._is_absent = False
        until_s = self._now_s() + _KEPT_S if keys.expires_s is None else keys.expires_s
        self._kept = _Kept(keys=keys, good_until_s=until_s)
        return self._kept

    def forget(self) -> bool:
        """Ask again, since those at hand were refused; True if there are other ones now."""
        with self._asking:
            kept, self._kept = self._kept, None
        try:
            return kept is not None and self.current() != kept.keys
        except KeyTrouble:
            return False

    def __call__(self) -> S3Credential:
        """Hand them to obstore, which would show them in its configuration else."""
        kept = self._current()
        return {
            "access_key_id": kept.keys.access_key,
            "secret_access_key": kept.keys.secret_key,
            "token": kept.keys.token,
            "expires_at": datetime.fromtimestamp(kept.good_until_s, UTC),
        }
