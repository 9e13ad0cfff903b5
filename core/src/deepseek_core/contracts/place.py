"""Places: where an executor brings devices of its own, as those of the nodes of a cluster.

A session with such an executor plans over the devices of the place in the stead of those here, and
runs its plans on them with the same rules as ever: the same order, limits and moves.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

import attrs

from deepseek_core.contracts.device import Device, DeviceInfo, DeviceSpec, OpenOptions
from deepseek_core.contracts.stage import Array
from deepseek_core.contracts.units import check_count, check_finite

if TYPE_CHECKING:
    import numpy as np

HOME: Final = "here"
"""In place of a device, in the links of a place: the process that holds the session."""


@attrs.frozen(kw_only=True)
class Link:
    """What moving bytes from one device to another takes, beyond what estimates include."""

    latency_s: float = attrs.field(default=0.0, validator=check_finite)
    s_per_byte: float = attrs.field(default=0.0, validator=check_finite)

    def seconds(self, nbytes: float) -> float:
        """Seconds until so many bytes are there; transfers do not wait for each other."""
        return self.latency_s + nbytes * self.s_per_byte


@attrs.frozen(kw_only=True)
class DeviceOffer:
    """A device that can be opened: its row, the spec that it comes from, and whose that is."""

    info: DeviceInfo
    spec: DeviceSpec
    plugin: str
    dist: str


@attrs.frozen(kw_only=True)
class PlaceOptions:
    """What a session tells a place.

    `settings` are those of the executor's own plugin, as its hooks get them. `given` are what the
    program set of any plugin, for the sessions of workers (`Session(settings=given)`).
    `environment` has the variables with which a worker loads the same plugins, or refuses.
    `threads` are the host cores that the devices of a worker may use; None: all of its own.
    """

    settings: Mapping[str, object] = attrs.field(factory=dict, repr=False)
    given: Mapping[str, Mapping[str, object]] = attrs.field(factory=dict, repr=False)
    environment: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    threads: int | None = attrs.field(
        default=None, validator=attrs.validators.optional(check_count(1))
    )


class Place(ABC):
    """Somewhere else that is open, with devices; a session closes it at its end."""

    @abstractmethod
    def offers(self) -> Sequence[DeviceOffer]:
        """List its devices, available or not; ids are unique and say where each is.

        Raises:
            DeepSeekError: it can't be reached, or no part of it can be used.
        """

    @abstractmethod
    def open(self, offer: DeviceOffer, options: OpenOptions) -> Device:
        """Open a device there: one of its own offers, or the like of one of this machine.

        Raises:
            DeviceUnavailable: it can't be opened.
        """

    @abstractmethod
    def close(self) -> None:
        """End what it started; idempotent."""

    def links(self) -> Mapping[tuple[str, str], Link]:
        """What a transfer takes by (device id, device id); `HOME` stands for this process."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class RemoteTensor(ABC):
    """A tensor that lies elsewhere: a device there reads it without a way through this process."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]

    @abstractmethod
    def to_host(self) -> Array:
        """A copy here, which is the caller's own.

        Raises:
            TensorLost: what held it is gone.
        """

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The same, for numpy."""
        array = self.to_host()
        return array if dtype is None else array.astype(dtype)


class TimedOutputs(dict[str, Any]):
    """Outputs of a run and the `seconds` of the device itself, where the call took longer.

    So a queue and a network between caller and device are no part of what a run costs.
    """

    def __init__(self, outputs: Mapping[str, Any], seconds: float) -> None:
        super().__init__(outputs)
        self.seconds = seconds
