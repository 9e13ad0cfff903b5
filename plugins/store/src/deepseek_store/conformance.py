"""Conformance tests of this plugin: `ds-sdk check-plugin store` runs them."""

from __future__ import annotations

from pathlib import Path

from deepseek_core.testing import TierConformance


class TestMemory(TierConformance):
    """The tier in memory."""

    plugin = "store"
    name = "memory"

    def make_url(self, tmp_path: Path) -> str:
        """A name that nothing else in this process has."""
        return f"memory://conformance{tmp_path}"
