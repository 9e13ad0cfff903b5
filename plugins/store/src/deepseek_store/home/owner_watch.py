"""Makes sure that a home still has its store when it begins to write, and now and then after that.

What is put goes to the log first, which no other home can see; so a home that was replaced by a
copy of it should learn that before it acknowledges much. A tier that does not answer must not keep
anybody waiting: the question goes on in a thread, and the answer counts when it comes.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from contextlib import suppress
from typing import Final

from deepseek_core import DeepSeekError, errors
from deepseek_store.errors import IndexOutdated, NotOwner
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.owner_epochs import Owner, tier_name
from deepseek_store.home.tier_set import TierSet
from deepseek_store.index.base import Index

_LOG: Final = logging.getLogger(__name__)
_FIRST_WAIT_S: Final = 1.0
_EVERY_S: Final = 60.0
# Two that leap apart meet again once in 2**31 times, and a store can leap a million times.
_LEAP: Final = 1 << 31
_STEP: Final = 1 << 12


class OwnerWatch:
    """Refuses to go on once another home has taken a tier; safe to use from several threads.

    A home that was restored in its place takes its tiers when it writes for the first time: who
    only looks into it does no harm to a copy that goes on elsewhere.
    """

    def __init__(self, config: StoreConfig, owner: Owner, tiers: TierSet, index: Index) -> None:
        self._config, self._owner, self._tiers, self._index = config, owner, tiers, index
        # `_moved`: as in `Owner`; until the home has taken its places again
        self._moved, self._copied = owner.moved, owner.copied
        self._moving = threading.Lock()  # one thread takes the places
        self._lock = threading.Lock()
        self._asked_s = -float("inf")  # when the tiers were last asked who has them (monotonic)
        self._asking: threading.Thread | None = None  # the look under way, or the last one
        self._refusal: NotOwner | IndexOutdated | None = None  # why nothing may be written any more

    def look(self) -> None:
        """Ask at once where the home may be a copy, or has met another one.

        Raises:
            NotOwner: another home has taken a tier.
        """
        if self._moved:
            with suppress(errors.ConfigError):  # no plugin opens it here: it is as if away
                self._tiers.check_owner()

    def check(self) -> None:
        """Go on, unless it is known by now that this home must not: before each new number.

        Raises:
            NotOwner: another home has taken a tier.
            IndexOutdated: a tier tells of later numbers than this home's.
        """
        if self._moved:
            self._move_in()
        if self._config.tiers:
            asking = self._ask()
            if asking is not None:
                asking.join(_FIRST_WAIT_S)
        refusal = self._refusal
        if refusal is not None:
            raise type(refusal)(refusal.message, url=refusal.url, remedy=refusal.remedy)

    def _move_in(self) -> None:
        """Take the tiers for this home, which is another than it was, and go on with new numbers.

        Its copy may never meet it on a tier: what both write must not have the same numbers.
        """
        with self._moving:
            if not self._moved:
                return
            with suppress(errors.ConfigError):
                self._tiers.own()
            if self._copied:
                _LOG.warning("this home is a copy, and has the store from now on: %s", self._owner)
                self._leap()
            with suppress(errors.TierFull):  # it is asked again the next time
                self._owner.settle()
            self._moved = False

    def _leap(self) -> None:
        counters = self._index.counters()
        far = secrets.randbelow(_LEAP) * _STEP
        for name in ("segment", "stripe"):
            self._index.raise_counter(name, counters.get(name, 0) + far)

    def _ask(self) -> threading.Thread | None:
        """Begin to ask if it is time; the thread to wait for, if it is the first."""
        with self._lock:
            is_first = self._asking is None
            if not is_first and (self._is_asking() or not self._is_time()):
                return None
            self._asked_s = time.monotonic()
            self._asking = threading.Thread(target=self._look, name="ds-owner", daemon=True)
            self._asking.start()
            return self._asking if is_first else None

    def _is_asking(self) -> bool:
        return self._asking is not None and self._asking.is_alive()

    def _is_time(self) -> bool:
        return time.monotonic() - self._asked_s > _EVERY_S

    def _look(self) -> None:
        for number, tier in enumerate(self._config.tiers):
            try:
                # Its own connection: the store may be closed meanwhile.
                with self._tiers.opened(number) as opened:
                    # Taken, not only looked at: a copy that begins later must find that we go on.
                    self._tiers.check_stripes(self._owner, number, opened)
                    self._owner.claim(tier_name(number), opened)
                    self._owner.check_age(tier_name(number), opened)
            except (NotOwner, IndexOutdated) as error:
                _LOG.error("nothing is written any more: %s", error)
                self._refusal = error
            except DeepSeekError as error:
                _LOG.info("whose %s is can't be asked: %s", tier.url, error)
