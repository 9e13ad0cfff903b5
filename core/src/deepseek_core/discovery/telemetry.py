"""Libraries that report home are told not to, in every process that the SDK starts.

What somebody has set himself stays. A library that is imported in a process of the user's is told
by the plugin that imports it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

_OFF: Final = {"ORT_DISABLE_TELEMETRY": "1"}


def without_telemetry(environ: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that we start."""
    return {**_OFF, **environ}


@contextmanager
def telemetry_off() -> Iterator[None]:
    """The same for this process and those that it starts, until the block ends."""
    missing = {name: value for name, value in _OFF.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)
