"""The real TensorRT runtime, full or RTX: one call a line and nothing to decide.

Imported only where an engine is opened.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

MODULES: Final = {
    "tensorrt": ("tensorrt",),
    "tensorrt_rtx": ("tensorrt_rtx_bindings", "tensorrt_rtx"),
}
"""What each flavor's bindings are called."""


def module_of(flavor: str) -> str | None:
    """The module of a flavor that is installed; imports nothing."""
    return next((m for m in MODULES.get(flavor, ()) if find_spec(m) is not None), None)


class TensorRtRuntime:
    """`Runtime` over the library's own bindings."""

    def __init__(self, module: str) -> None:
        """Import it.

        Raises:
            ImportError, OSError, AttributeError: it does not load, or is a stub.
        """
        library = import_module(module)
        self.version = str(library.__version__)
        self._said: list[str] = []
        self._logger = _logger(library, self._said)
        self._runtime = library.Runtime(self._logger)

    def deserialize(self, content: bytes) -> Any:
        return self._runtime.deserialize_cuda_engine(content)

    def context(self, engine: Any) -> Any:
        return engine.create_execution_context()

    def set_shape(self, context: Any, name: str, shape: tuple[int, ...]) -> bool:
        return bool(context.set_input_shape(name, shape))

    def shape(self, context: Any, name: str) -> tuple[int, ...]:
        return tuple(context.get_tensor_shape(name))

    def set_address(self, context: Any, name: str, address: int) -> bool:
        return bool(context.set_tensor_address(name, address))

    def enqueue(self, context: Any, stream: int) -> bool:
        return bool(context.execute_async_v3(stream))

    def last_words(self) -> str:
        return self._said[-1] if self._said else ""


def _logger(library: Any, said: list[str]) -> Any:
    """A logger of the library that keeps the last error."""

    class Kept(library.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            library.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            if severity <= library.ILogger.Severity.ERROR:
                said[:] = [message]

    return Kept()
