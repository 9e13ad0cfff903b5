"""Asks the tiers whose they are when a home begins to write, and now and then after that.

What is put goes to the log first, which no other home can see; so a home that was replaced by a
copy of it should learn that before it acknowledges much. A tier that does not answer must not keep
anybody waiting: the question goes on in a thread, and the answer counts when it comes.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from deepseek_core import DeepSeekError, open_tier
from deepseek_store.errors import NotOwner
from deepseek_store.home.config import StoreConfig
from deepseek_store.home.owner import Owner, tier_name

_LOG: Final = logging.getLogger(__name__)
_FIRST_WAIT_S: Final = 1.0
_EVERY_S: Final = 60.0


class OwnerWatch:
    """Refuses to go on once another home has taken a tier; safe to use from several threads."""

    def __init__(self, config: StoreConfig, owner: Owner) -> None:
        self._config, self._owner = config, owner
        self._lock = threading.Lock()
        self._asked_s = -float("inf")
        self._asking: threading.Thread | None = None
        self._refusal: NotOwner | None = None

    def check(self) -> None:
        """Go on, unless it is known by now that this home must not.

        Raises:
            NotOwner: another home has taken a tier.
        """
        if self._config.tiers:
            asking = self._ask()
            if asking is not None:
                asking.join(_FIRST_WAIT_S)
        refusal = self._refusal
        if refusal is not None:
            raise NotOwner(refusal.message, url=refusal.url, remedy=refusal.remedy)

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
                with open_tier(tier.url) as opened:
                    self._owner.check(tier_name(number), opened)
            except NotOwner as error:
                _LOG.error("nothing is written any more: %s", error)
                self._refusal = error
            except DeepSeekError as error:
                _LOG.info("whose %s is can't be asked: %s", tier.url, error)
