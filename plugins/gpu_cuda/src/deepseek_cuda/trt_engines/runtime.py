"""The seam to TensorRT's runtime: what running an engine needs of it, and nothing else.

The real one is `_edge`; the tests pass one that computes on the host.
"""

from __future__ import annotations

from typing import Any, Protocol


class Runtime(Protocol):
    """Calls of one flavor of TensorRT; handles are the library's own objects."""

    version: str

    def deserialize(self, content: bytes) -> Any:
        """An engine; None where the library refuses the bytes."""

    def context(self, engine: Any) -> Any:
        """What one run at a time uses; None where memory does not suffice."""

    def set_shape(self, context: Any, name: str, shape: tuple[int, ...]) -> bool:
        """Fix the shape of an input; False where no profile of the engine has it."""

    def shape(self, context: Any, name: str) -> tuple[int, ...]:
        """The shape of a tensor, once those of the inputs are fixed; -1 where values decide."""

    def set_address(self, context: Any, name: str, address: int) -> bool:
        """Where a tensor lies."""

    def enqueue(self, context: Any, stream: int) -> bool:
        """Put a run on the stream; False where that failed."""

    def last_words(self) -> str:
        """What the library said of its last error."""
