"""Tensors that stay on a device from one stage to the next: copied to the host at borders only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core.contracts.errors import PluginError
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.tensor import dtype_name, shape_text

if TYPE_CHECKING:
    from deepseek_core.runtime.opened import Opened


class Resident:
    """What a run left on its device; `host` is its copy, once somebody needed one."""

    __slots__ = ("host", "opened", "value")

    def __init__(self, value: Any, opened: Opened) -> None:
        self.value, self.opened = value, opened
        self.host: Array | None = None

    def to_host(self) -> Array:
        """Copy it to the host, once.

        Raises:
            DeviceError: the device does not give it any more.
            PluginError: it gives another one, or no array.
        """
        if self.host is None:
            self.host = self._copied()
        return self.host

    def _copied(self) -> Array:
        from deepseek_core.runtime.owned import owned  # numpy: start-up counts

        copy: Array = owned({"": self.opened.device.to_host(self.value)}, ("",))[""]
        left, given = _described(self.value), _described(copy)
        if not is_array(copy) or given != left:
            raise PluginError(
                f"{self.opened.id} broke its contract: it left {left}, and to_host gave {given}"
            )
        return copy

    def fetched(self, limit_s: float) -> Array:
        """The same from a device that may have failed: it does not wait for it without limit.

        Raises:
            DeviceError: it does not give it any more.
        """
        if self.host is None:
            self.host = self.opened.call("copy to the host", self.to_host, limit_s)
        return self.host


def is_array(value: Any) -> bool:
    """Whether it lies on the host, as numpy's arrays do."""
    return hasattr(value, "__array_interface__")


def _described(value: Any) -> str:
    """Dtype and shape, or what it is instead of a tensor."""
    try:
        return f"{dtype_name(value.dtype)} {shape_text(tuple(value.shape))}"
    except (AttributeError, TypeError, ValueError):
        return type(value).__name__


def on_host(value: Any) -> Any:
    """What a caller gets of a tensor: the copy that was made at the border.

    Raises:
        DeviceError: there is none yet, and the device does not give it.
    """
    return value.to_host() if type(value) is Resident else value


class Readers:
    """How many stages still read each tensor of a batch; what no one does leaves its device."""

    def __init__(self, reads: Mapping[str, int]) -> None:
        self._left = dict(reads)

    def done(self, stage: Stage, tensors: dict[str, Any]) -> None:
        """A stage has read its inputs: drop those that lie on a device for nobody else."""
        for spec in stage.inputs:
            self._left[spec.name] -= 1
            if not self._left[spec.name] and type(tensors.get(spec.name)) is Resident:
                del tensors[spec.name]


def reads_of(graph: Graph) -> Mapping[str, int]:
    """How often each tensor of a batch is read, by stages and by the caller."""
    found = Counter(spec.name for stage in graph.stages for spec in stage.inputs)
    found.update(graph.outputs)
    return found


@attrs.frozen
class Border:
    """Outputs of a stage that another stage on its device reads, and those that others need."""

    stays: frozenset[str]
    leaves: frozenset[str]


def borders(graph: Graph, devices: Mapping[str, str]) -> dict[str, Border]:
    """For each stage, find where its outputs are read."""
    return {stage.name: _border(graph, devices, stage) for stage in graph.stages}


def _border(graph: Graph, devices: Mapping[str, str], stage: Stage) -> Border:
    here, made = devices[stage.name], {spec.name for spec in stage.outputs}
    near, far = set[str](), made & set(graph.outputs)
    for reader in graph.stages:
        read = made & {spec.name for spec in reader.inputs} if reader is not stage else set()
        if devices[reader.name] == here:
            near |= read
        else:
            far |= read
    return Border(stays=frozenset(near), leaves=frozenset(far))


@attrs.frozen(kw_only=True)
class Transfers:
    """Copies between host and devices with memory of their own, of one batch."""

    to_device: int = 0
    to_host: int = 0
    nbytes: int = 0

    def to_json(self) -> dict[str, int]:
        """Plain numbers by name."""
        return attrs.asdict(self)


def transfers(
    graph: Graph,
    devices: Mapping[str, str],
    batch: int,
    has_memory: Callable[[str], bool],
    keeps: Callable[[str], bool],
) -> Transfers:
    """Count what a batch copies; tensors that a device keeps are copied where others need them."""
    to_device, to_host, nbytes = 0, 0, 0
    found = borders(graph, devices)
    for stage in graph.stages:
        here = devices[stage.name]
        if not has_memory(here):
            continue
        stays = found[stage.name].stays - found[stage.name].leaves if keeps(here) else frozenset()
        makers = graph.producers
        given = [
            spec
            for spec in stage.inputs
            if not (keeps(here) and devices.get(makers.get(spec.name, "")) == here)
        ]
        made = [spec for spec in stage.outputs if spec.name not in stays]
        to_device, to_host = to_device + len(given), to_host + len(made)
        nbytes += sum(spec.nbytes(batch) for spec in (*given, *made))
    return Transfers(to_device=to_device, to_host=to_host, nbytes=nbytes)
