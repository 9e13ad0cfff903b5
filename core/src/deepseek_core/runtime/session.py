"""A session: the devices that are present, and plans over them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.device import DeviceInfo, OpenOptions
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.frontend import Frontend, FrontendSpec
from deepseek_core.contracts.graph import Array, Graph
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.discovery.folders import cache_dir as default_cache_dir
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.registry import (
    Registered,
    Registry,
    blamed,
    find_frontend,
    load_locator,
)
from deepseek_core.discovery.switches import Switches
from deepseek_core.runtime.calibration import Measurement, Progress, calibrate, synthetic_inputs
from deepseek_core.runtime.comparison import (
    Comparison,
    compare,
    placements,
    single_device_refusals,
)
from deepseek_core.runtime.history import History
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.planner import Planner, Request
from deepseek_core.runtime.pool import DevicePool


def _quiet(_done: int, _steps: int, _text: str) -> None:
    """Report no progress."""


class Session:
    """Discovers plugins, opens devices when they are needed, closes them at its end.

    `threads` is how many host cores the devices that use them may occupy (default: all
    that this process may run on). `devices` limits the session to some devices by id, kind
    or start of a name. `registry` is what `discover` found, for a caller that has one.

    Raises:
        ConfigError: a switch, a configuration file or a device name is wrong.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        devices: Sequence[str] | None = None,
        cache_dir: Path | None = None,
        switches: Switches | None = None,
        registry: Registry | None = None,
        refresh_probes: bool = False,
    ) -> None:
        cores = len(os.sched_getaffinity(0))
        if threads is not None and threads < 1:
            raise ConfigError(f"threads is {threads}", remedy="give 1 or more, or leave it out")
        folder = cache_dir or default_cache_dir()
        self.registry = registry or discover(switches)
        probes = probe_devices(
            self.registry,
            timeout_s=self.registry.switches.probe_timeout_s,
            cache_dir=folder,
            refresh=refresh_probes,
        )
        options = OpenOptions(threads=threads or cores, cache_dir=folder)
        self._pool = DevicePool(probes, options, self.registry.settings)
        if devices is not None:
            self._pool.limit(devices)
        self._history = History(folder / "history.sqlite")
        self._planner = Planner(self._pool, self._history, cores)
        self._plans: weakref.WeakSet[Plan] = weakref.WeakSet()

    @property
    def devices(self) -> tuple[DeviceInfo, ...]:
        """Every device that the probes found, available or not."""
        return self._pool.infos

    @property
    def planner(self) -> Planner:
        """What asks the devices and decides; for those who drive devices themselves."""
        return self._planner

    @property
    def notices(self) -> tuple[str, ...]:
        """What the caller should know: idle switches, a history set aside, devices that are out."""
        idle = tuple(map(str, self.registry.notices))
        out = tuple(f"{d}: {why}" for d, why in self._pool.why_out().items())
        return (*idle, *filter(None, [self._history.notice]), *out)

    def load(self, model: str | Path | Artifact, **constants: Array) -> Graph:
        """Read a model and cut it into stages by what the devices present support.

        `constants` fix some of its inputs (a gallery, a `k`).

        Raises:
            ArtifactError: no such file, no frontend for its format, or no sound model.
            NoDevice: an operation that no device supports.
            TensorMismatch: a constant that does not fit its input.
        """
        artifact = model if isinstance(model, Artifact) else Artifact.from_path(model)
        found = find_frontend(self.registry, artifact.format)
        with blamed(found, f"can't read {artifact.path or 'the model'}"):
            graph = self._frontend(found).read(artifact, self._pool.supporters)
        return graph.bind(**constants)

    def _frontend(self, found: Registered[FrontendSpec]) -> Frontend:
        with held_back():
            factory = load_locator(found.record.factory, plugin=found.plugin, dist=found.dist)
        frontend: Frontend = factory()
        return frontend

    def plan(
        self,
        graph: Graph,
        *,
        latency: LatencyClass | str = LatencyClass.OFFLINE,
        workload: Workload | str = Workload.INFERENCE,
        batch: int = 1,
        deadline_s: float | None = None,
        pin: Mapping[str, str] | None = None,
        strict: bool = False,
    ) -> Plan:
        """Decide where each stage runs on batches of `batch` items.

        `pin` fixes stages to devices (`{"match": "fpga"}`). `strict` forbids moving a stage
        when its device fails.

        Raises:
            NoDevice: a stage that no device can run; says why each refused.
            ConfigError: an unknown latency class, workload, stage or device.
        """
        request = self._request(graph, latency, workload, batch, deadline_s=deadline_s, pin=pin)
        plan = Plan(self._planner, graph, request, strict=strict, emit=self.registry.emit)
        self._plans.add(plan)
        return plan

    def calibrate(
        self,
        graph: Graph,
        *,
        inputs: Mapping[str, Array] | None = None,
        latency: LatencyClass | str = LatencyClass.OFFLINE,
        batch: int = 1,
        rounds: int = 9,
        progress: Progress = _quiet,
    ) -> list[Measurement]:
        """Measure every stage on every device that supports it; later plans know the costs.

        `inputs` are one real batch; without them seeded noise is used. They decide the batch
        size when given.

        Raises:
            TensorMismatch: inputs that do not fit.
            NoDevice: a stage that no device can run.
        """
        if inputs is None:
            inputs = synthetic_inputs(graph.inputs, batch)
        batch = graph.check_inputs(inputs)
        request = self._request(graph, latency, Workload.INFERENCE, batch)
        return calibrate(self._planner, graph, request, inputs, rounds=rounds, progress=progress)

    def compare(
        self,
        chosen: Plan,
        batches: Sequence[Mapping[str, Array]],
        *,
        rounds: int = 5,
        progress: Progress = _quiet,
    ) -> Comparison:
        """Measure a plan beside every other placement of its graph, in turn.

        Each round streams all batches through each placement; medians count.

        Raises:
            StageFailed: a stage failed while it was measured.
        """
        request = chosen.request
        plans = {"chosen": chosen}
        for pins in placements(chosen.problem):
            if len(chosen.placement.routes) > 1 or pins != dict(chosen.devices):
                label = " + ".join(f"{stage} on {device}" for stage, device in pins.items())
                plans[label] = self.plan(
                    chosen.graph, latency=request.latency, batch=request.batch, pin=pins
                )
        rows = compare(plans, batches, rounds=rounds, progress=progress)
        for label, plan in plans.items():
            if label != "chosen":
                plan.close()
        return Comparison(rows=rows, refusals=single_device_refusals(chosen.problem))

    def _request(
        self,
        graph: Graph,
        latency: LatencyClass | str,
        workload: Workload | str,
        batch: int,
        **more: Any,
    ) -> Request:
        if batch < 1:
            raise ConfigError(f"batch is {batch}", remedy="give 1 or more")
        return Request(
            latency=_member(LatencyClass, latency),
            workload=_member(Workload, workload),
            batch=batch,
            pins=self._planner.resolve_pins(graph, more.pop("pin", None) or {}),
            **more,
        )

    def close(self) -> None:
        """Close plans, devices and the history; idempotent."""
        for plan in list(self._plans):
            plan.close()
        self._pool.close()
        self._history.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


def _member(kind: type[Any], value: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(member.value for member in kind)
        raise ConfigError(f"no {kind.__name__} {value!r}", remedy=f"use one of {known}") from None
