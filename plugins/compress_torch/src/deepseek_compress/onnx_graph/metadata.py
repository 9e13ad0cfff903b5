"""What files say of themselves, for whoever runs them."""

from __future__ import annotations

from typing import Final

STANDS_FOR: Final = "deepseek.stands_for"
"""Metadata of files for another runtime, which ONNX Runtime may run in its place."""
