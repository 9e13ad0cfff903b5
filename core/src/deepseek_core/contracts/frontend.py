"""Frontends: readers of model files."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from deepseek_core.contracts.device import Support
from deepseek_core.contracts.units import as_names, check_locator, check_name

if TYPE_CHECKING:  # a plugin that offers a frontend loads none of them
    from deepseek_core.contracts.artifact import Artifact
    from deepseek_core.contracts.batching import BatchChoice
    from deepseek_core.contracts.graph import Graph
    from deepseek_core.contracts.stage import Operation

Supporters = Callable[["Operation"], dict[str, Support]]
"""Asks the devices present about one operation: device id -> support."""


@attrs.frozen(kw_only=True)
class FrontendSpec:
    """A reader of these artifact formats; `factory` names a callable `() -> Frontend`.

    A model that is passed as bytes is of the format whose files begin with its `magic`; of one
    without, if no magic is theirs. `needs_file` says that what lies beside a file is read, too.
    """

    name: str = attrs.field(validator=check_name)
    formats: tuple[str, ...] = attrs.field(converter=as_names)
    factory: str = attrs.field(validator=check_locator)
    magic: bytes = b""
    needs_file: bool = False
    summary: str = ""
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


def _names(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


@attrs.frozen(kw_only=True)
class ReadOptions:
    """What the caller asks of a frontend, and what it may ask of the devices.

    `supporters` asks every device present about an operation. `whole` names the devices that load
    a model of this format as it is, whatever its operators: they are asked once it is loaded.
    `operators` maps each other device to the names of what it may run, none if it is to be asked.
    `batch_axis` is what the caller declares, `outputs` what he wants (empty: all that the
    model has), `fixed` the inputs that he will fix to constants.
    """

    supporters: Supporters
    whole: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    operators: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    batch_axis: BatchChoice = None
    outputs: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    fixed: frozenset[str] = attrs.field(default=frozenset(), converter=_names)


class Frontend(ABC):
    """Reads a model and cuts it into stages by what the devices present support."""

    @abstractmethod
    def read(self, artifact: Artifact, supporters: Supporters) -> Graph:
        """The model as a graph of stages, each of which at least one device runs.

        Raises:
            ArtifactError: not a readable model of this format.
            NoDevice: an operation that no device supports; says why each refused.
        """

    def read_model(self, artifact: Artifact, options: ReadOptions) -> Graph:
        """The same with what the caller asked for; by default what `read` gives, adapted.

        Raises:
            ArtifactError, NoDevice: as `read`.
            ConfigError: a batch axis that the model does not have.
            GraphError: an output that no stage makes.
        """
        graph = self.read(artifact, options.supporters)
        if options.outputs:
            graph = graph.until(*options.outputs)
        return with_declared_batch(graph, options.batch_axis)


def with_declared_batch(graph: Graph, choice: BatchChoice) -> Graph:
    """The graph with the batch axis that the caller declares; as it is without one.

    Raises:
        ConfigError: a batch axis that the model does not have.
    """
    if choice is None:
        return graph
    from deepseek_core.contracts.batching import Batching

    specs = {spec.name: spec for stage in graph.stages for spec in (*stage.inputs, *stage.outputs)}
    return graph.with_batching(Batching.declare(choice, graph.inputs, tuple(specs.values())))
