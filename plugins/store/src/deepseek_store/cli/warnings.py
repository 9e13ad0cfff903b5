"""Prints what the store and its tiers log: as sentences on stderr, like all errors."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from deepseek_core import console


class _Plain(logging.Handler):
    """`warning: sentence`."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        console.print_note(f"{record.levelname.lower()}: {record.getMessage()}")


@contextmanager
def told_plainly() -> Iterator[None]:
    """For the time of a command; what others do with the log stays as it is."""
    handler = _Plain(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
