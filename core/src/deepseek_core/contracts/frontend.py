"""Frontends: readers of model files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import attrs

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.device import Support
from deepseek_core.contracts.graph import Graph, Operation
from deepseek_core.contracts.units import as_names, check_locator, check_name

Supporters = Callable[[Operation], dict[str, Support]]
"""Asks the devices present about one operation: device id -> support."""


@attrs.frozen(kw_only=True)
class FrontendSpec:
    """A reader of these artifact formats; `factory` names a callable `() -> Frontend`."""

    name: str = attrs.field(validator=check_name)
    formats: tuple[str, ...] = attrs.field(converter=as_names)
    factory: str = attrs.field(validator=check_locator)
    summary: str = ""
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


class Frontend(ABC):
    """Reads a model and cuts it into stages by what the devices present support."""

    @abstractmethod
    def read(self, artifact: Artifact, supporters: Supporters) -> Graph:
        """The model as a graph of stages, each of which at least one device runs.

        Raises:
            ArtifactError: not a readable model of this format.
            NoDevice: an operation that no device supports; says why each refused.
        """
