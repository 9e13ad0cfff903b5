"""What is said where there was nothing to decide."""

from __future__ import annotations

from typing import Final

ALONE: Final = ", the only device that supports it"
"""Ends a sentence that begins with stage and device."""
