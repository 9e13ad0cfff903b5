"""The first GPU of this machine that can be used; without one a test is skipped with the reason."""

import pytest

from deepseek_core import OpenOptions
from deepseek_cuda.opening import open_device
from deepseek_cuda.probe import survey


def opened(folder, **settings):
    """An open device of the real driver."""
    rows = survey().rows
    row = next((row for row in rows if row.status == "available"), None)
    if row is None:
        pytest.skip(f"no GPU: {rows[0].reason} -> {rows[0].remedy}")
    return open_device(row.id, OpenOptions(threads=1, cache_dir=folder, settings=settings))
