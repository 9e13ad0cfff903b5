"""Commands of `ds-sdk store` as a remedy has them: a shell takes them as they are."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(name: str, home: Path | str, *words: str) -> str:
    """A command for the store in a folder."""
    return shlex.join(["ds-sdk", "store", name, str(home), *words])
