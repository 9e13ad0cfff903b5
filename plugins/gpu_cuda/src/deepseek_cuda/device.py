"""A GPU, or a MIG instance of one, as a device of the SDK."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import (
    Device,
    DeviceInfo,
    Estimate,
    LatencyClass,
    LoadOptions,
    OpenOptions,
    Operation,
    Stage,
    Support,
    Task,
    errors,
)
from deepseek_cuda.driver.api import CudaApi
from deepseek_cuda.driver.buffers import pinned_pool
from deepseek_cuda.driver.faults import translated, unless_lost
from deepseek_cuda.driver.pipeline import Pipeline
from deepseek_cuda.driver.tensors import Engine, Kept
from deepseek_cuda.executable import CudaExecutable, Held, fetched
from deepseek_cuda.matching import engine as matching
from deepseek_cuda.matching.engine import Program
from deepseek_cuda.settings import Settings

if TYPE_CHECKING:
    from deepseek_cuda.onnx_stages.provider import Provider
    from deepseek_cuda.onnx_stages.support import TrialSupport
    from deepseek_cuda.place import Opener

ONNX: Final = "onnx"
# Assumed, not measured: a current GPU and its bus. The prior's sigma covers a factor of e.
_FLOPS_PER_S: Final = 10e12
_BYTES_PER_S: Final = 500e9
_BUS_BYTES_PER_S: Final = 10e9
_LAUNCH_S: Final = 100e-6
_PRIOR_SIGMA: Final = 1.0
_IDLE_PINNED_BYTES: Final = 256 << 20


@attrs.frozen(kw_only=True)
class Parts:
    """What a device is made of; the tests pass parts that need no GPU.

    `provider` gives the providers that compute on a stream of `api`; `engine` opens an ONNX stage
    on them, `openers` those of other formats; `program` compiles the matcher; `readings` are
    NVML's.
    """

    api: CudaApi
    provider: Callable[[int], Provider]
    engine: Callable[[Stage, str, Provider, bool], Engine]
    openers: Mapping[str, Opener] = attrs.field(factory=dict)
    program: Program
    readings: Callable[[], Mapping[str, float | None]]


class CudaDevice(Device):
    """One GPU: a run at a time, which is spread over copy and compute streams."""

    keeps_tensors = True

    def __init__(self, info: DeviceInfo, options: OpenOptions, parts: Parts) -> None:
        settings = Settings.of(options.settings)
        self.info = info
        self._api, self._parts = parts.api, parts
        self._limit_s = settings.run_limit_s
        self._pool = pinned_pool(parts.api, _IDLE_PINNED_BYTES)
        self._held: set[Held] = set()  # what loaded stages have on the GPU
        # Those whose executable nobody has any more: freed by the next who has the lock.
        self._orphans: deque[Held] = deque()
        # of sessions that only tell whether a stage is supported
        self._trial_stream: int | None = None
        # the stage of the last such trial: `load` takes it over
        self._kept: tuple[Stage, CudaExecutable] | None = None
        self._lock = threading.RLock()
        self._closed = False

    def supports(self, operation: Operation) -> Support:
        """Whether a session with this one operator loads on the GPU, none of it on the CPU.

        Raises:
            DeviceClosed: after `close`.
        """
        self._check_open()
        if operation.domain == matching.DOMAIN:
            return matching.supports(operation)
        for opener in self._parts.openers.values():
            if opener.domain == operation.domain:
                return opener.supports(operation)
        with translated(self.info.id), self._lock:
            self._api.use()
            return self._support.of(operation)

    @cached_property
    def _support(self) -> TrialSupport:
        from deepseek_cuda.onnx_stages.support import TrialSupport  # onnx

        self._trial_stream = self._api.create_stream()
        return TrialSupport(self._parts.provider(self._trial_stream))

    def supports_stage(self, stage: Stage, latency: LatencyClass) -> Support:
        """Whether it loads with all of it on the GPU; one that does is kept for `load`.

        Raises:
            DeviceClosed: after `close`.
        """
        with self._lock:
            try:
                loaded = self.load(stage, LoadOptions(latency=latency))
            except errors.DeviceClosed:
                raise
            except errors.DeepSeekError as error:
                return Support.no(error.message)
            self._kept = stage, loaded
        return Support.yes()

    def estimate(self, task: Task) -> Estimate:
        """A roofline over assumed peaks, with the way over the bus: a prior.

        Raises:
            DeviceClosed: after `close`.
        """
        self._check_open()
        stage, batch = task.stage, task.batch
        work = stage.work
        busy_s = max(work.flops(batch) / _FLOPS_PER_S, work.nbytes(batch) / _BYTES_PER_S)
        crossing = sum(spec.nbytes(batch) for spec in (*stage.inputs, *stage.outputs))
        return Estimate(
            seconds=_LAUNCH_S + busy_s + crossing / _BUS_BYTES_PER_S,
            sigma=_PRIOR_SIGMA,
            source="prior",
            mem_bytes=int(work.fixed_bytes),
        )

    def load(self, stage: Stage, options: LoadOptions) -> CudaExecutable:
        """An engine for the stage, its constants on the device.

        `options.strict` forbids that ONNX Runtime runs any operator on the CPU.

        Raises:
            ArtifactError: no readable file of its format.
            Unsupported: an operator or a type that does not run on the GPU.
            OutOfMemory: it does not fit.
            DeviceLost, DeviceTimeout: the GPU failed.
            DeviceClosed: after `close`.
        """
        self._check_open()
        formats = (ONNX, *self._parts.openers)
        if stage.artifact.format not in formats:
            raise errors.Unsupported(
                f"{self.info.id} runs {', '.join(formats)} stages, not {stage.artifact.format}",
                device_id=self.info.id,
            )
        with translated(self.info.id), self._lock:
            self._api.use()
            self._free_orphans()
            kept, self._kept = self._kept, None
            if kept is not None and kept[0] is stage and options.strict:
                return kept[1]
            if kept is not None:  # before the next one takes its memory
                kept[1].close()
            pipeline = Pipeline(self._api, self._pool, self.info.id, self._limit_s)
            try:
                engine = self._engine(stage, pipeline.computing, strict=options.strict)
            except BaseException:
                with unless_lost(self.info.id):
                    pipeline.close()
                raise
            held = Held(self._api, pipeline, engine)
            loaded = CudaExecutable(stage, held, self._lock)
            self._held.add(held)
            weakref.finalize(loaded, self._orphans.append, held)
            try:
                loaded.place_constants()
            except BaseException:
                loaded.close()
                raise
        return loaded

    def _engine(self, stage: Stage, stream: int, *, strict: bool) -> Engine:
        if stage.operations and all(op.domain == matching.DOMAIN for op in stage.operations):
            asked = matching.matching_of(stage, self.info.id)
            return matching.MatchEngine(self._api, stream, asked, self._parts.program)
        opener = self._parts.openers.get(stage.artifact.format)
        if opener is not None:
            return opener.open(stage, stream)
        return self._parts.engine(stage, self.info.id, self._parts.provider(stream), strict)

    def _free_orphans(self) -> None:
        while self._orphans:
            held = self._orphans.popleft()
            held.close()
            self._held.discard(held)

    def to_host(self, value: Any) -> NDArray[Any]:
        """What a run left on the GPU as an array; other results are arrays already.

        Raises:
            DeviceClosed, DeviceLost: it is there no more.
            DeviceTimeout: it did not arrive in time.
        """
        if not isinstance(value, Kept):
            return np.asarray(value)
        with translated(self.info.id), self._lock:
            self._check_open()
            self._api.use()
            return fetched(value)

    def telemetry(self) -> Mapping[str, float | None]:
        """NVML's readings; None for what this GPU or its driver does not tell."""
        return self._parts.readings()

    def close(self) -> None:
        """Close the device and what was loaded on it; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._kept = None
            for held in self._held:
                held.close()
            with unless_lost(self.info.id):
                self._api.use()
                self._pool.release()
                if self._trial_stream is not None:
                    self._api.destroy_stream(self._trial_stream)
                self._api.close()

    def _check_open(self) -> None:
        if self._closed:
            raise errors.DeviceClosed(
                f"{self.info.id} is closed", device_id=self.info.id, remedy="open it again"
            )
