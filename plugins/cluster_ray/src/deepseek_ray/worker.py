"""What runs in an actor: the devices of its node, one of them open; it knows nothing of Ray."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from deepseek_ray.pieces import joined

if TYPE_CHECKING:
    from deepseek_core import Session, Stage, places


SMALL: Final = 64 * 1024
"""Bytes that Ray sends to the caller anyway, whoever reads them."""


class Look(NamedTuple):
    """What a tensor looks like that stays where it was made."""

    dtype: Any
    shape: tuple[int, ...]


class Worker:
    """An actor on a node: methods are called from another process and exchange plain data.

    `environment` makes it load the plugins that the caller has, or refuse. Stages are kept by the
    number that the caller gave them, until it forgets them.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        given: Mapping[str, Mapping[str, object]],
        threads: int | None,
    ) -> None:
        os.environ.update(environment)
        self._given, self._threads = given, threads
        self._opened_session: Session | None = None
        self._device: Any = None
        self._stages: dict[int, Stage] = {}
        self._inputs: dict[int, Sequence[str]] = {}  # names, by the number of what is loaded

    @property
    def _session(self) -> Session:
        if self._opened_session is None:
            from deepseek_core import Session

            self._opened_session = Session(settings=self._given, threads=self._threads)
        return self._opened_session

    def ping(self) -> int:
        """Show that it is alive; its process."""
        return os.getpid()

    def offers(self) -> Sequence[places.DeviceOffer]:
        """The devices of this node, and why plugins that have none here have none.

        Raises:
            PluginError: the plugins here are not those of the caller.
        """
        return self._session.planner.pool.offers

    def open(self, offer: places.DeviceOffer) -> frozenset[str]:
        """Open a device; its workloads."""
        self._device = self._session.host(offer)
        return frozenset(self._device.workloads)

    def know(self, number: int, stage: Stage) -> None:
        """Keep a stage under a number, out of the object store, where it came through."""
        import attrs

        own = {name: value.copy() for name, value in stage.constants.items()}
        self._stages[number] = attrs.evolve(stage, constants=own)

    def forget(self, number: int) -> None:
        """Keep it no more."""
        self._stages.pop(number, None)

    def ask(self, what: str, *given: Any) -> Any:
        """What a method of the device gives."""
        return getattr(self._device, what)(*given)

    def ask_about(self, what: str, number: int, *given: Any) -> Any:
        """What a method of the device gives for a stage."""
        return getattr(self._device, what)(self._stages[number], *given)

    def load(self, number: int, options: Any) -> int:
        """Load a stage; the number by which it is run."""
        stage = self._stages[number]
        loaded: int = self._device.load(stage, options)
        self._inputs[loaded] = [spec.name for spec in stage.inputs]
        return loaded

    def unload(self, number: int) -> None:
        """Free what is loaded."""
        self._inputs.pop(number, None)
        self._device.unload(number)

    def estimate(self, number: int, batch: int, latency: Any, workload: Any) -> Any:
        """Do what `Device.estimate` does."""
        from deepseek_core import Task

        task = Task(stage=self._stages[number], batch=batch, latency=latency, workload=workload)
        return self._device.estimate(task)

    def run(self, call: Sequence[Any], *values: Any) -> Any:
        """Seconds of a run with its outputs; then those that are left here, if any may be.

        `call` is the number of what is loaded; (place, count, look) of each input: its place
        among those of the stage, how many `values` it comes in, and as `pieces.joined` has it;
        and the places of outputs that may stay. One that does is a `Look` in the answer, and one
        that is too small for it comes with the answer, so that it can't be lost afterwards; None
        stays in its place.
        """
        number, given, left = call
        names, rest = self._inputs[number], iter(values)
        inputs = {
            names[place]: joined(list(islice(rest, count)), look) for place, count, look in given
        }
        outputs, seconds = self._device.run(number, inputs)
        told = list(outputs)
        stay: list[Any] = []
        for place in left:
            value = told[place]
            is_large = nbytes_of(value) > SMALL
            stay.append(value if is_large else None)
            if is_large:
                told[place] = Look(value.dtype, value.shape)
        answer = [seconds, told]  # a tuple would take Ray twice as long to read
        return [answer, *stay] if left else answer

    def make(self, nbytes: int) -> Any:
        """Bytes to measure a link with."""
        import numpy as np

        return np.zeros(nbytes, np.uint8)

    def take(self, *values: Any) -> int:
        """See that bytes have come."""
        return sum(map(len, values))


def nbytes_of(value: Any) -> int:
    """Bytes of an array; 0 of what is none, which stays nowhere."""
    return int(getattr(value, "nbytes", 0)) if hasattr(value, "shape") else 0
