"""Conformance tests of this plugin: `ds-sdk check-plugin storage_local` runs them."""

from __future__ import annotations

from pathlib import Path

from deepseek_core.testing import TierConformance


class TestSsd(TierConformance):
    """One folder, through the page cache."""

    plugin = "storage_local"
    name = "local_ssd"

    def make_url(self, tmp_path: Path) -> str:
        """A folder that is not there yet."""
        return f"{(tmp_path / 'tier').as_uri()}?profile=ssd"


class TestHdd(TierConformance):
    """Three failure domains, without the page cache where the file system lets us."""

    plugin = "storage_local"
    name = "local_hdd"

    def make_url(self, tmp_path: Path) -> str:
        """A folder that is not there yet, which gets three more."""
        return f"{(tmp_path / 'tier').as_uri()}?profile=hdd&domains=3&direct=1"
