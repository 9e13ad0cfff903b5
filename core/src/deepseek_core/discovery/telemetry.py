"""Switch telemetry of libraries off, in every process that the SDK starts.

A variable that the user has set is left alone. In a process of the user's own, the plugin that
imports such a library switches it off.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_OFF: Final = {"ORT_DISABLE_TELEMETRY": "1", "RAY_USAGE_STATS_ENABLED": "0"}


def without_telemetry(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a child process, with telemetry off."""
    return {**_OFF, **environ}


@contextmanager
def telemetry_off() -> Iterator[None]:
    """Switch it off for this process and those that it starts, until the block ends."""
    missing = {name: value for name, value in _OFF.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
