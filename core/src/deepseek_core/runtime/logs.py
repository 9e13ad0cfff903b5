"""Warnings to the log of a module, without the milliseconds that `logging` takes to import."""

from __future__ import annotations

from deepseek_core.contracts.units import printable


def warn(module: str, text: str) -> None:
    """Log a warning under a module's name."""
    import logging  # mostly nothing is wrong

    logging.getLogger(module).warning("%s", printable(text))
