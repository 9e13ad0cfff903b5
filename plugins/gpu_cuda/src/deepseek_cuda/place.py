"""A GPU as those see it who open stages of other formats than ONNX: engines, torch programs."""

from __future__ import annotations

from typing import Protocol

import attrs

from deepseek_core import Operation, Stage, Support
from deepseek_cuda.driver.tensors import Engine


@attrs.frozen(kw_only=True)
class Place:
    """The GPU that stages are opened on; `ordinal` is its number in this process."""

    device_id: str
    name: str
    capability: tuple[int, int] | None
    ordinal: int

    @property
    def compute(self) -> str:
        """Compute capability, such as `8.6`; `?` where it is not known."""
        return ".".join(map(str, self.capability)) if self.capability else "?"


class Opener(Protocol):
    """What knows stages of one format of artifacts."""

    domain: str
    """The domain of their operations."""

    def supports(self, operation: Operation) -> Support:
        """Whether it may run here."""

    def open(self, stage: Stage, stream: int) -> Engine:
        """An engine that computes on the stream.

        Raises:
            Unsupported: it can't run here, and why.
            ArtifactError: the file is damaged, or none of this format.
            OutOfMemory: it does not fit.
        """
