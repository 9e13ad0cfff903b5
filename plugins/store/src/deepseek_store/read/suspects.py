"""Segments that readers have come to suspect."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Final

_LOG: Final = logging.getLogger(__name__)


class Suspects:
    """Segments of which a reader got wrong bytes, or none; safe to use from several threads."""

    def __init__(self) -> None:
        self._found: dict[int, str] = {}
        self._lock = threading.Lock()
        self.total = 0

    def note(self, segment: int, detail: str) -> None:
        """A read of a segment met a fault; what it read it had from elsewhere, or not at all."""
        with self._lock:
            known = segment in self._found
            self._found[segment] = detail
            self.total += not known
        if not known:
            _LOG.warning("segment %x: %s", segment, detail)

    def take(self) -> Mapping[int, str]:
        """All that were noted since the last call, with what was met."""
        with self._lock:
            found, self._found = self._found, {}
        return found

    def __len__(self) -> int:
        return len(self._found)
