"""What happens in a training, as records for callbacks and logs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import attrs


@attrs.frozen(kw_only=True)
class Event:
    """One thing that happened, after so many steps and samples.

    `kind` is "step", "evaluation", "checkpoint", "recovery" or "end". `figures` has its numbers by
    name: the loss, seconds, bytes.
    """

    kind: str
    step: int
    samples: int
    epoch: float
    figures: Mapping[str, float] = attrs.field(factory=dict)
    text: str = ""


class Watcher(Protocol):
    """A callback: it is called with each event, on all ranks."""

    def __call__(self, event: Event) -> object:
        """Look at it."""
        ...
