"""Conformance tests: `ds-sdk check-plugin storage_s3` runs them on a server that you name.

`DEEPSEEK_S3_CHECK_URL` is the URL of a place in a bucket that the tests may fill; each one writes
below a prefix of its own, and removes nothing else. Without it they are skipped.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

import pytest

from deepseek_core.testing import TierConformance

VARIABLE: Final = "DEEPSEEK_S3_CHECK_URL"


class TestS3(TierConformance):
    """A bucket, with three failure domains by name."""

    plugin = "storage_s3"
    name = "s3"

    def make_url(self, tmp_path: Path) -> str:
        """A prefix that nobody has used."""
        url = os.environ.get(VARIABLE)
        if not url:
            pytest.skip(f"set {VARIABLE} to an s3: URL whose place the tests may fill")
        place, _, query = url.partition("?")
        given = f"?{query}&" if query else "?"
        return f"{place.rstrip('/')}/check-{secrets.token_hex(8)}{given}domains=3"
