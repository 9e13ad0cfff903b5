"""A session: the devices that are present, and plans over them."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from deepseek_core.contracts.batching import BatchChoice
from deepseek_core.contracts.device import DeviceInfo, OpenOptions
from deepseek_core.contracts.errors import ConfigError, TensorMismatch
from deepseek_core.contracts.frontend import Frontend, FrontendSpec
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.place import DeviceOffer
from deepseek_core.contracts.stage import Array
from deepseek_core.contracts.task import LatencyClass, Workload
from deepseek_core.contracts.units import as_count, as_duration, as_mapping, as_names, usable_cores
from deepseek_core.discovery.folders import cache_dir as default_cache_dir
from deepseek_core.discovery.folders import own_cache_dir
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import (
    Registered,
    Registry,
    blamed,
    find_executor,
    find_frontend,
    load_locator,
)
from deepseek_core.discovery.switches import Switches
from deepseek_core.discovery.watch import watched
from deepseek_core.runtime.history import History
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.limits import Limits
from deepseek_core.runtime.models import as_artifact
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.planner import Planner
from deepseek_core.runtime.pool import DevicePool
from deepseek_core.runtime.request import Request
from deepseek_core.runtime.runner import StageRunner
from deepseek_core.runtime.trace import Recorder

if TYPE_CHECKING:  # what only a calibration or comparison needs is imported by it
    from deepseek_core.runtime.activity import Activity, Requests
    from deepseek_core.runtime.calibration import Measurement, Progress
    from deepseek_core.runtime.comparison import Comparison
    from deepseek_core.runtime.hosting import HostedDevice


def _quiet(_done: int, _steps: int, _text: str) -> None:
    """Report no progress."""


class Session:
    """Discovers plugins, opens devices when they are needed, closes them at its end.

    `threads` is how many host cores the devices that use them may occupy (default: all
    that this process may run on). `devices` limits the session to some devices by id, kind
    or start of a name. `registry` is what `discover` found, for a caller that has one.
    `settings` are settings of plugins for this session, by plugin, over those of the user.
    `limits` are seconds that a device may take, by name: `ask_s` (10; its answers about a graph),
    `open_s` (60), `load_s` (300; of a stage) and `close_s` (2); longer, and it is left out. With
    `check_finite` a device that makes NaN or infinity of finite inputs has failed, and another
    one does it; that costs a look at each output. `executor` names one that a plugin offers: its
    plans run there, over its own devices where it brings any (a cluster).

    Raises:
        ConfigError: a switch, a setting, a configuration file or a device name is wrong.
        NoDevice: none of the `devices` named can be used here.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        devices: Sequence[str] | None = None,
        cache_dir: str | Path | None = None,
        switches: Switches | None = None,
        registry: Registry | None = None,
        settings: Mapping[str, Mapping[str, object]] | None = None,
        refresh_probes: bool = False,
        limits: Mapping[str, float] | None = None,
        check_finite: bool = False,
        executor: str | None = None,
    ) -> None:
        cores = usable_cores()
        if threads is not None:
            threads = as_count("threads", threads)
        folder = default_cache_dir() if cache_dir is None else own_cache_dir(cache_dir)
        settings = as_mapping("settings", settings)
        if settings:
            if registry is not None:
                raise ConfigError(
                    "settings change how plugins are discovered, and a registry was given",
                    remedy="give them to `discover`: Switches.given",
                )
            switches = attrs.evolve(switches or Switches.resolve(), given=settings)
        self.registry = registry or discover(switches)
        limits_ = Limits.of(as_mapping("limits", limits))
        self._executor = None if executor is None else find_executor(self.registry, executor)
        self._place = None
        if self._executor is not None and self._executor.record.place is not None:
            from deepseek_core.runtime.executed import open_place  # start-up counts

            self._place = open_place(self._executor, self.registry, threads)
        try:
            self._pool = DevicePool(
                () if self._place is not None else self._probes(folder, refresh=refresh_probes),
                OpenOptions(threads=threads or cores, cache_dir=folder),
                self.registry.settings,
                limits=limits_,
                check_finite=check_finite,
                place=self._place,
            )
            for offer in () if self._place is None else self._place.offers():
                self._pool.add(offer)
            if devices is not None:
                self._pool.limit(as_names(devices))
        except BaseException:
            self._close_place()
            raise
        self._history_path = folder / "history.sqlite"
        self._history_lock = threading.RLock()  # a signal handler may close the session
        self._opened_history: History | None = None
        self._planner = Planner(self._pool, lambda: self._history, cores)
        self._plans: weakref.WeakSet[Plan] = weakref.WeakSet()
        self._activity = self._open_activity("session")  # for plugins that listen

    def _probes(self, folder: Path, *, refresh: bool) -> tuple[ProbeResult, ...]:
        timeout_s = self.registry.switches.probe_timeout_s
        return probe_devices(self.registry, timeout_s=timeout_s, cache_dir=folder, refresh=refresh)

    def _open_activity(self, kind: str, **more: Callable[[], Requests]) -> Activity | None:
        """What tells listeners of tasks that end, `more` as it takes; None where nobody listens."""
        if not self.registry.has_listeners:
            return None
        from deepseek_core.runtime.activity import Activity  # start-up counts

        return Activity(kind, self.registry.emit, **more)

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
        history = self._opened_history if self._pool.is_closed else self._history
        notice = history.notice if history else None
        return (*idle, *([notice] if notice else ()), *out)

    @property
    def _history(self) -> History:
        """The costs measured so far; their file is opened when they are first needed."""
        with self._history_lock:
            if self._opened_history is None:
                self._opened_history = History(self._history_path)
            return self._opened_history

    def load(
        self,
        model: Any,
        constants: Mapping[str, Any] | None = None,
        /,
        *,
        batch_axis: BatchChoice = None,
        outputs: Sequence[str] = (),
        format: str | None = None,
        **named: Any,
    ) -> Graph:
        """Read a model and cut it into stages by what the devices present support.

        `model` is a path, an artifact, the bytes of a file, or an object of its library (an
        `onnx.ModelProto`); `format` names the format where no suffix does. `constants` fix some of
        its inputs (a gallery, a `k`), by keyword as well; the others are given with each run.
        `batch_axis` declares which axis carries the items of a batch: a symbol of its shapes
        ("N"), an axis for each input ({"x": 0, "state": 1}), or False for none. Without it the
        file's metadata counts, and else it is proven from the operators where it can be.
        `outputs` are those wanted, all by default.

        Raises:
            ArtifactError: no such file, no frontend for its format, or no sound model.
            NoDevice: an operation that no device supports.
            TensorMismatch: a constant that does not fit its input.
            ConfigError: a batch axis that the model does not have.
            GraphError: an output that it does not have.
        """
        self._check_open()
        values = {**as_mapping("constants", constants), **named}
        artifact = as_artifact(model, format, self.registry)
        found = find_frontend(self.registry, artifact.format)
        options = self._pool.read_options(
            artifact.format, batch_axis=batch_axis, outputs=outputs, fixed=values
        )
        what = str(artifact.path or "the model")
        with (
            self._pool.naming_left_out(),
            watched(found.plugin, f"reading {what}"),
            blamed(found, f"can't read {what}"),
        ):
            graph = self._frontend(found).read_model(artifact, options)
        return graph.bind(values)

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
        hang_s: float | None = None,
    ) -> Plan:
        """Decide where each stage runs on batches of `batch` items.

        `pin` fixes stages to devices (`{"match": "fpga"}`). `strict` forbids moving a stage
        when its device fails. A run that takes longer than `hang_s` counts as one that hangs:
        its device is left behind, another one does it. Without it there is a limit for streams
        only: 20 times the 99 % quantile of the cost and no less than 5 s, or 600 s where the cost
        is a guess or no other device can do it. What runs in the caller's own thread has none:
        `Plan.run`, and runs of a stream so short (below 1 ms) that handing them over costs more.

        Raises:
            NoDevice: a stage that no device can run; says why each refused.
            ConfigError: an unknown latency class, workload, stage or device; a time that is none.
            DeviceClosed: the session is closed.
        """
        request = self._request(
            graph, latency, workload, batch, deadline_s=deadline_s, pin=pin, hang_s=hang_s
        )
        with self._pool.naming_left_out():
            emit = self.registry.emit
            runner = StageRunner(
                self._planner, graph, request,
                strict=strict, emit=emit, recorder=Recorder(self._activity),
            )  # fmt: skip
            plan = Plan(self._planner, graph, request, strict=strict, emit=emit, runner=runner)
        if self._executor is not None and self._place is None:
            from deepseek_core.runtime.executed import ExecutedPlan

            plan = ExecutedPlan(plan, self._executor)
        self._plans.add(plan)
        if self.registry.has_listeners:
            from deepseek_core.contracts.events.sessions import PlanMade

            made = PlanMade(time_s=time.time(), graph=graph.name, placement=dict(plan.devices))
            self.registry.emit(made)
        return plan

    def calibrate(
        self,
        graph: Graph,
        *,
        inputs: Mapping[str, Any] | None = None,
        sizes: Mapping[str, int] | None = None,
        latency: LatencyClass | str = LatencyClass.OFFLINE,
        batch: int = 1,
        rounds: int = 9,
        progress: Progress = _quiet,
    ) -> list[Measurement]:
        """Measure every stage on every device that supports it; later plans know the costs.

        `inputs` are one real batch; without them seeded noise is used, whose free axes have the
        `sizes` given by their symbols (`{"seq_len": 128}`). They decide the batch size when given.

        Raises:
            TensorMismatch: inputs that do not fit, or hold no items.
            NoDevice: a stage that no device can run.
            InputRejected: the model does not take the values of the inputs.
        """
        from deepseek_core.runtime.calibration import calibrate, synthetic_inputs

        rounds = as_count("rounds", rounds)
        request = self._request(graph, latency, Workload.INFERENCE, batch)
        if inputs is None:
            inputs = synthetic_inputs(graph.inputs, request.batch, sizes)
        arrays = graph.admit(inputs)
        items = graph.items(arrays)
        if items == 0:
            raise TensorMismatch(
                "the inputs hold no items, so there is nothing to measure",
                remedy="pass one item or more",
            )
        request = attrs.evolve(request, batch=items or 1)
        with self._pool.naming_left_out():
            found = calibrate(
                self._planner, graph, request, arrays, rounds=rounds, progress=progress
            )
        self._tell_measured(found)
        return found

    def compare(
        self,
        chosen: Plan,
        batches: Sequence[Mapping[str, Array]],
        *,
        rounds: int = 5,
        progress: Progress = _quiet,
    ) -> Comparison:
        """Measure a plan beside every other placement of its graph, in turn.

        Each round streams all batches through each placement; medians count. Another placement
        that fails is left out, and `failures` says why.

        Raises:
            StageFailed: a stage of the plan itself failed while it was measured.
            TensorMismatch: batches that do not fit, or none.
            ConfigError: no plan, or no count of rounds.
        """
        from deepseek_core.runtime.comparison import against_others

        self._check_open()
        rounds = as_count("rounds", rounds)
        if not isinstance(chosen, Plan):
            raise ConfigError(
                f"expected a plan, got a {type(chosen).__name__}", remedy="pass what plan gave"
            )
        request = chosen.request

        def pinned(pins: Mapping[str, str]) -> Plan:
            return self.plan(
                chosen.graph, latency=request.latency, batch=request.batch, pin=pins, strict=True
            )

        return against_others(chosen, pinned, batches, rounds=rounds, progress=progress)

    def _tell_measured(self, found: Iterable[Measurement]) -> None:
        if not self.registry.has_listeners:
            return
        from deepseek_core.contracts.events.sessions import StageMeasured

        now_s = time.time()
        for row in found:
            if row.seconds is not None:
                self.registry.emit(
                    StageMeasured(
                        time_s=now_s,
                        stage=row.stage,
                        device_id=row.device_id,
                        batch=row.batch,
                        seconds=row.seconds,
                    )
                )

    def _request(
        self,
        graph: Graph,
        latency: LatencyClass | str,
        workload: Workload | str,
        batch: int,
        **more: Any,
    ) -> Request:
        self._check_open()
        if not isinstance(graph, Graph):
            raise ConfigError(
                f"expected a graph, got a {type(graph).__name__}", remedy="pass what load gave"
            )
        times = {name: more.get(name) for name in ("deadline_s", "hang_s")}
        return Request(
            latency=_member(LatencyClass, latency),
            workload=_member(Workload, workload),
            # Without a batch axis a run is one call, whatever it holds.
            batch=as_count("batch", batch) if graph.is_batched else 1,
            pins=self._planner.resolve_pins(graph, more.get("pin") or {}),
            **{n: None if s is None else as_duration(n, s) for n, s in times.items()},
        )

    def _check_open(self) -> None:
        self._pool.check_open()

    def close(self) -> None:
        """Close plans, devices and the history; idempotent. A forked child leaves them alone."""
        if self._pool.is_foreign:
            return
        self._pool.end()
        for plan in list(self._plans):
            plan.close()
        self._pool.close()
        self._close_place()
        with self._history_lock:
            if self._opened_history is not None:
                self._opened_history.close()
        if self._activity is not None:
            self._activity.tell()
        self.registry.settle()

    def _close_place(self) -> None:
        place, self._place = self._place, None
        if place is not None:
            place.close()

    def _check_drives(self, what: str) -> None:
        """Refuse what would leave the executor out and drive the devices of this machine itself."""
        if self._executor is not None and self._executor.record.place is None:
            raise ConfigError(
                f"{what} drives devices itself, and the executor {self._executor.record.name!r} "
                "runs plans only",
                remedy="give it a session without executor=, or one whose executor brings devices",
            )

    def host(self, offer: DeviceOffer) -> HostedDevice:
        """Open a device for another process, which asks and runs it by plain data.

        Raises:
            DeviceUnavailable, DeviceTimeout: it can't be opened.
            DeviceClosed: the session is closed.
        """
        from deepseek_core.runtime.hosting import HostedDevice

        self._check_open()
        return HostedDevice(offer, self._pool, self.registry.settings)

    def __repr__(self) -> str:
        from deepseek_core.runtime.shown import session_line

        return session_line(self._pool, len(self._plans))

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
