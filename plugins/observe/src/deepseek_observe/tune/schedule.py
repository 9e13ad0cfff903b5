"""A schedule with a warm-up before it, as a tuned recipe names it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ChainedScheduler, LinearLR, LRScheduler

from deepseek_core import console


def warmed(optimizer: Optimizer, warm: Mapping[str, Any], then: Mapping[str, Any]) -> LRScheduler:
    """A schedule, multiplied by a linear warm-up; both begin with the first step."""
    kwargs = then.get("kwargs", {})
    if "name" in then:
        after = getattr(torch.optim.lr_scheduler, then["name"])(optimizer, **kwargs)
    else:
        after = _entry(then["factory"])(optimizer, **kwargs)
    return ChainedScheduler([LinearLR(optimizer, **warm), after], optimizer=optimizer)


def _entry(text: str) -> Any:
    """What is named, of a file beside the recipe: whose folder is on the path by now."""
    place = text.rpartition(":")[0]
    folders = [Path(folder) for folder in sys.path if (Path(folder) / place).is_file()]
    return console.load_entry(
        text, folders[0] if folders else Path.cwd(), where="scheduler.then.factory"
    )
