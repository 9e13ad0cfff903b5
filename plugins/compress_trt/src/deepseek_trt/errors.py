"""Errors of TensorRT engines, below the SDK's own tree.

DeepSeekError
|-- ArtifactError
|   |-- EngineDamaged           an engine or its manifest is missing, cut short or changed
|   `-- EngineMismatch          an engine for another GPU, library or version; names both
|-- CompileError
|   |-- ModelRefused            rules or parser refuse it; `problems` name the nodes
|   `-- BuildFailed             the library failed, crashed or ran out of time; carries its log
|-- DeviceUnavailable
|   `-- LibraryMissing          that flavor of TensorRT is not installed here, or can't be used
`-- WriteError
    |-- CacheUnusable           the folder of engines can't be made private or written to
    `-- CacheBusy               another process builds this engine, longer than we wait
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from deepseek_core import errors

if TYPE_CHECKING:
    from deepseek_trt.problem import Problem


class EngineDamaged(errors.ArtifactError):
    """An engine or its manifest is missing, cut short or changed."""


class EngineMismatch(errors.ArtifactError):
    """An engine that was built for something else: `wanted` here, `found` in its manifest."""

    def __init__(self, message: str, *, wanted: str, found: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.wanted = wanted
        self.found = found


class ModelRefused(errors.CompileError):
    """A model that TensorRT does not take, or would compute wrongly; `problems` name the nodes."""

    def __init__(
        self,
        message: str,
        *,
        device_id: str,
        problems: Iterable[Problem],
        log: str = "",
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, device_id=device_id, log=log, remedy=remedy)
        self.problems = tuple(problems)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of the nodes that are refused, each once."""
        return tuple(dict.fromkeys(p.node for p in self.problems if p.node))


class BuildFailed(errors.CompileError):
    """The library failed, crashed or ran out of time; `nodes` are those that its log names."""

    def __init__(
        self,
        message: str,
        *,
        device_id: str,
        nodes: Iterable[str] = (),
        log: str = "",
        remedy: str | None = None,
    ) -> None:
        super().__init__(message, device_id=device_id, log=log, remedy=remedy)
        self.nodes = tuple(nodes)


class LibraryMissing(errors.DeviceUnavailable):
    """The flavor of TensorRT is not installed here, or can't be used."""


class CacheUnusable(errors.WriteError):
    """The folder of engines can't be made, made private, or written to."""


class CacheBusy(errors.WriteError):
    """Another process builds this engine, for longer than we wait."""
