"""A device whose stages are ONNX Runtime sessions on one provider."""

from __future__ import annotations

import weakref
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import attrs
from numpy.typing import NDArray

from deepseek_core import (
    Concurrency,
    Device,
    DeviceInfo,
    Estimate,
    LatencyClass,
    LoadOptions,
    Operation,
    Stage,
    Support,
    Task,
    Work,
    errors,
)
from deepseek_onnx.executable import OnnxExecutable
from deepseek_onnx.opened import Sessions
from deepseek_onnx.parts import OnnxArtifact
from deepseek_onnx.sessions import Engine, Opened, Threads, check_libraries
from deepseek_onnx.settings import Settings
from deepseek_onnx.values import to_host
from deepseek_onnx.vendor_errors import FAULTS, load_error, short_text
from deepseek_onnx.work import work_with_constants

if TYPE_CHECKING:
    from deepseek_onnx.support import TrialSupport

# Assumed, not measured: one core of a current server. The prior's sigma covers a factor of e;
# of hardware that is not the host's nothing is known, and a factor of 7 either way is allowed.
_FLOPS_PER_S: Final = 40e9
_BYTES_PER_S: Final = 8e9
_CALL_S: Final = 10e-6
_PRIOR_SIGMA: Final = 1.0
_PRIOR_SIGMA_ELSEWHERE: Final = 2.0


class SessionDevice(Device):
    """What `engine` runs, within a budget of host threads.

    Where the host's own cores do the work: offline, each of `threads` runs at once has one thread;
    realtime, one run has them all, and they spin between its operators. Elsewhere one run at a
    time, driven by one thread.
    """

    def __init__(self, info: DeviceInfo, threads: int, settings: Settings, engine: Engine) -> None:
        check_libraries(settings)
        self._settings, self._engine = settings, engine
        changed = "".join(f"|{text}" for text in settings.changed())
        self.info = attrs.evolve(info, fingerprint=info.fingerprint + changed)
        self._threads = max(1, threads) if info.uses_host_cores else 1
        self._sessions = Sessions(settings, engine)
        self._works: weakref.WeakKeyDictionary[Stage, Work] = weakref.WeakKeyDictionary()
        self._loaded: weakref.WeakSet[OnnxExecutable] = weakref.WeakSet()
        self._closed = False

    def supports(self, operation: Operation) -> Support:
        """Whether a session with this one operator loads; known after the first time.

        Raises:
            DeviceClosed: after `close`.
        """
        self._check_open()
        return self._support.of(operation)

    @cached_property
    def _support(self) -> TrialSupport:
        from deepseek_onnx.support import TrialSupport  # onnx

        return TrialSupport(self._settings, self._engine)

    def supports_stage(self, stage: Stage, latency: LatencyClass) -> Support:
        """Whether a session for it loads; one that does is kept for `load`.

        Of a stage that a frontend cut out by what was asked before, whether it supports each
        operation.

        Raises:
            DeviceClosed: after `close`.
        """
        self._check_open()
        if not (isinstance(stage.artifact, OnnxArtifact) and stage.artifact.is_whole):
            return super().supports_stage(stage, latency)
        try:
            self._sessions.keep(stage, self._threads_for(latency))
        except errors.DeepSeekError as error:
            return Support.no(str(error))
        except FAULTS as error:
            return Support.no(short_text(error))
        return Support.yes()

    def estimate(self, task: Task) -> Estimate:
        """A roofline over assumed peaks: a prior, off by a factor of e or so.

        Raises:
            DeviceClosed: after `close`.
        """
        self._check_open()
        work = self._works.get(task.stage)
        if work is None:
            work = self._works[task.stage] = work_with_constants(task.stage)
        threads = 1 if task.latency is LatencyClass.OFFLINE else self._threads
        nbytes = work.nbytes(task.batch)
        busy_s = max(work.flops(task.batch) / (_FLOPS_PER_S * threads), nbytes / _BYTES_PER_S)
        return Estimate(
            seconds=_CALL_S + busy_s,
            sigma=_PRIOR_SIGMA if self.info.uses_host_cores else _PRIOR_SIGMA_ELSEWHERE,
            source="prior",
            mem_bytes=int(work.fixed_bytes),
        )

    def load(self, stage: Stage, options: LoadOptions) -> OnnxExecutable:
        """A session for the stage, its constants folded in.

        `options.strict` changes nothing: no other provider runs any part of it.

        Raises:
            ArtifactError: no readable ONNX model.
            Unsupported: an operator that the provider lacks.
            OutOfMemory: it does not fit.
            DeviceClosed: after `close`.
        """
        self._check_open()
        try:
            opened = self._sessions.open(stage, self._threads_for(options.latency))
        except errors.DeepSeekError:
            raise
        except FAULTS as error:
            raise load_error(error, stage.name, self.info.id) from error
        loaded = self._executable(stage, opened)
        self._loaded.add(loaded)
        return loaded

    def _executable(self, stage: Stage, opened: Opened) -> OnnxExecutable:
        return OnnxExecutable(stage, self.info.id, opened)

    def _threads_for(self, latency: LatencyClass) -> Threads:
        realtime = latency is LatencyClass.REALTIME and self._threads > 1
        return Threads(self._threads if realtime else 1, spinning=realtime)

    def to_host(self, value: Any) -> NDArray[Any]:
        """A numpy array, `HostTensor` or DLPack tensor of the host as numpy, without a copy.

        Raises:
            InputError: not a tensor of the host, or of a dtype without a numpy view.
        """
        return to_host(value)

    def concurrency(self, latency: LatencyClass) -> Concurrency:
        """Offline: as many runs as threads, one each. Realtime: one run with all threads."""
        if latency is LatencyClass.REALTIME:
            return Concurrency(slots=1, host_threads=self._threads)
        return Concurrency(slots=self._threads, host_threads=1)

    def close(self) -> None:
        """Close the device and what was loaded on it."""
        self._closed = True
        self._sessions.forget()
        for loaded in list(self._loaded):
            loaded.close()

    def _check_open(self) -> None:
        if self._closed:
            raise errors.DeviceClosed(
                f"{self.info.id} is closed", device_id=self.info.id, remedy="open it again"
            )
