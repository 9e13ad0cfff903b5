"""Parts of a step by name, for profilers: torch's, or the `trace` of a trainer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch

DATA: Final = "data loader"
COMPUTE: Final = "forward and backward"
TELL: Final = "tell the other ranks"
UPDATE: Final = "exchange gradients and step"

_NONE: Final = nullcontext()


def marked(name: str) -> AbstractContextManager[Any]:
    """A range of this name if a profiler looks on; else it costs nothing."""
    is_seen = torch.autograd._profiler_enabled()
    return torch.profiler.record_function(name) if is_seen else _NONE
