"""Asks the devices of a session who runs what, and knows which device failed at what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import attrs

from deepseek_core.contracts.device import Concurrency
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Stage
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.runtime.history import History
from deepseek_core.runtime.pool import DevicePool
from deepseek_core.runtime.request import Request

if TYPE_CHECKING:
    from deepseek_core.contracts.place import Place
    from deepseek_core.runtime.problems import Problems


class Planner:
    """What plans of one session share: its devices, their refusals, the costs measured on them."""

    def __init__(self, pool: DevicePool, history: Callable[[], History], host_cores: int) -> None:
        self.pool = pool
        self._history = history
        self.host_cores = host_cores
        self._failed: dict[tuple[str, str], str] = {}
        self._refusals: WeakKeyDictionary[Stage, dict[tuple[str, Workload, LatencyClass], str]]
        self._refusals = WeakKeyDictionary()

    def elsewhere(self, place: Place) -> Planner:
        """One for the same devices, opened in a place."""
        return Planner(self.pool.elsewhere(place), self._history, self.host_cores)

    @cached_property
    def problems(self) -> Problems:
        """What decides where there is a choice; it is not needed where there is none."""
        from deepseek_core.runtime.problems import Problems  # start-up counts

        return Problems(self, self._history())

    def exclude(self, device_id: str, stage: Stage, reason: str) -> None:
        """Never offer this device for this stage again in this session."""
        self._failed[device_id, stage.fingerprint] = reason

    def only_device(self, graph: Graph, request: Request) -> str | None:
        """The device of a graph of one stage, if just one can run it: nothing is to be decided."""
        if len(graph.stages) > 1 or request.pins:
            return None
        able = (i for i in self.pool.present_ids() if not self.refusal(graph.stages[0], i, request))
        only = next(able, None)
        return None if only is None or next(able, None) is not None else only

    def concurrency(self, device_id: str, request: Request) -> Concurrency:
        """What a device occupies; one that works on the host and does not say so takes all."""
        opened = self.pool.use(device_id)
        told = opened.takes(request.latency)
        if opened.info.uses_host_cores and told.host_threads == 0:
            return attrs.evolve(told, host_threads=self.host_cores)
        return told

    def resolve_pins(self, graph: Graph, pins: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
        """Stage name -> device ids, from words such as `match=fpga`.

        Raises:
            ConfigError: a word that names no stage or no device, or two that name one stage.
        """
        words = [*pins, *pins.values()] if isinstance(pins, Mapping) else [None]
        if not all(isinstance(word, str) and word for word in words):
            raise ConfigError(
                f"pins map stages to devices by name; given {pins!r}",
                remedy=f'pin={{"{graph.stages[0].name}": "cpu"}}',
            )
        found: dict[str, tuple[str, ...]] = {}
        for name, word in pins.items():
            for stage in _stages_named(graph, name):
                if stage in found:
                    raise ConfigError(
                        f"stage {stage!r} is pinned twice, the second time as {name!r}",
                        remedy="pin it once",
                    )
                found[stage] = self.pool.matching(word)
        return found

    def refusal(self, stage: Stage, device_id: str, request: Request) -> str:
        """Why a device does not run a stage; empty if it does."""
        failed = self._failed and self._failed.get((device_id, stage.fingerprint))
        if failed:
            return f"failed before: {failed}"
        refused = self.pool.refusal(device_id, stage.operators)
        if refused:
            return refused
        opened = self.pool.usable(device_id)
        if opened is None:
            return self.pool.why_out()[device_id]
        known = self._refusals.setdefault(stage, {})
        key = device_id, request.workload, request.latency
        told = known.get(key)
        if told is None:
            support = opened.supports_stage(stage, request.latency, request.workload)
            told = "" if support else support.reason or "it does not say why"
            known[key] = told
        return told


def _stages_named(graph: Graph, word: str) -> tuple[str, ...]:
    names = [stage.name for stage in graph.stages]
    found = [n for n in names if n == word] or [n for n in names if n.startswith(word)]
    if not found:
        raise ConfigError(
            f"no stage of {graph.name!r} is called {word!r}",
            remedy=f"its stages are {', '.join(names)}",
        )
    return tuple(found)
