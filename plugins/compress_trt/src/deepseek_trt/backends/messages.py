"""Messages of the library: one logger for the process, and the nodes that they name.

TensorRT keeps the first logger that it is given for as long as the process lives, so there is one,
and it forwards to whatever call runs now.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from deepseek_trt.backends.backend import Severity, Sink

_LEVELS: Final[dict[str, Severity]] = {
    "INTERNAL_ERROR": "error",
    "ERROR": "error",
    "WARNING": "warning",
    "INFO": "info",
}


class _Current:
    """Where messages go now; `lock` lets one call of the library run at a time."""

    def __init__(self) -> None:
        self.sink: Sink | None = None
        self.lock = threading.Lock()
        self.loggers: dict[str, Any] = {}


_CURRENT: Final = _Current()


def logger_of(library: Any) -> Any:
    """The one logger of a library's module, made when first asked for."""
    name = library.__name__
    if name not in _CURRENT.loggers:
        _CURRENT.loggers[name] = _forwarding(library)
    return _CURRENT.loggers[name]


@contextmanager
def forwarding_to(sink: Sink) -> Iterator[None]:
    """Have messages go to `sink` within this block; other threads wait for their turn."""
    with _CURRENT.lock:
        _CURRENT.sink = sink
        try:
            yield
        finally:
            _CURRENT.sink = None


def _forwarding(library: Any) -> Any:
    class Forwarding(library.ILogger):  # type: ignore[misc]  # the library is untyped
        def __init__(self) -> None:
            library.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            level, sink = _LEVELS.get(severity.name), _CURRENT.sink
            if sink is not None and level is not None:
                sink(level, message)

    return Forwarding()


def nodes_named(names: Iterable[str], text: str) -> tuple[str, ...]:
    """Nodes of a model that a text names, in the order of the model."""
    words = set(re.split(r"[\s'\"`,;:()\[\]{}]+", text))
    return tuple(name for name in dict.fromkeys(names) if name in words)
