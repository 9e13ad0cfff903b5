"""The seam: what building and caching ask of a flavor of TensorRT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

import attrs

from deepseek_trt.options import BuildOptions
from deepseek_trt.problem import Problem

Severity = Literal["error", "warning", "info"]
Sink = Callable[[Severity, str], None]
"""Gets each message of the library, while a call of it runs."""


@attrs.frozen(kw_only=True)
class Identity:
    """Which library it is; an engine is for this flavor and version alone.

    `targets` are compute capabilities that it builds for; `device` names the one GPU that its
    engines are for, and is empty where the targets say it all.
    """

    flavor: str
    version: str
    targets: tuple[str, ...]
    device: str = ""


@attrs.frozen(kw_only=True)
class Border:
    """An input or output; -1 in a shape is a length that is not fixed, None an unknown rank."""

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    is_input: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return attrs.asdict(self)


@attrs.frozen(kw_only=True)
class Parsed:
    """What the parser says: whether it takes the model, and why not."""

    accepted: bool
    problems: tuple[Problem, ...] = ()
    borders: tuple[Border, ...] = ()


@attrs.frozen(kw_only=True)
class Built:
    """A serialized engine and what enters and leaves it."""

    content: bytes = attrs.field(repr=False)
    borders: tuple[Border, ...]


class Backend(Protocol):
    """One flavor of TensorRT; calls may print, take long, or end the process: see `isolated`."""

    identity: Identity

    def parse(self, model: bytes, sink: Sink) -> Parsed:
        """Ask the parser about a model whose data was read in."""

    def build(self, model: bytes, options: BuildOptions, sink: Sink) -> Built:
        """Build an engine; only the targets of the options.

        Raises:
            ModelRefused: the parser does not take it.
            BuildFailed: the builder gave nothing.
        """
