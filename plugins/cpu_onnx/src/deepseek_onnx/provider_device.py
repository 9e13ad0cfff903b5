"""The device of a vendor's provider."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deepseek_core import (
    BoundCall,
    LatencyClass,
    LoadOptions,
    OpenOptions,
    Operation,
    Stage,
    Support,
    errors,
)
from deepseek_onnx.executable import OnnxExecutable
from deepseek_onnx.host import readings
from deepseek_onnx.parts import OnnxArtifact
from deepseek_onnx.provider_engine import ProviderEngine, check, described, find
from deepseek_onnx.provider_facts import ProviderFacts
from deepseek_onnx.session_device import SessionDevice
from deepseek_onnx.sessions import Opened
from deepseek_onnx.settings import ProviderSettings
from deepseek_onnx.vendor_errors import provider_error

Array = NDArray[Any]


class ProviderDevice(SessionDevice):
    """What a vendor's provider takes whole and computes as ONNX has it; the rest is refused."""

    def __init__(self, provider: ProviderFacts, options: OpenOptions) -> None:
        settings = ProviderSettings.of(options.settings)
        found, more = find(provider), settings.given()
        if more:
            _check_settings(provider, more)
        threads = max(1, options.threads) if provider.uses_host_cores else 1
        engine = ProviderEngine(provider, found, threads, more)
        super().__init__(described(provider, found), threads, settings, engine)
        self._provider = provider
        self._refusals: weakref.WeakKeyDictionary[Stage, str] = weakref.WeakKeyDictionary()

    def supports(self, operation: Operation) -> Support:
        """Whether it is given the operation at all, and then whether it loads.

        Raises:
            DeviceClosed: after `close`.
        """
        self._check_open()
        refusal = self._refusal([operation])
        return Support.no(refusal) if refusal else super().supports(operation)

    def supports_stage(self, stage: Stage, latency: LatencyClass) -> Support:
        """The same of all of a stage.

        Raises:
            DeviceClosed: after `close`.
        """
        self._check_open()
        refusal = self._refusal_of(stage)
        return Support.no(refusal) if refusal else super().supports_stage(stage, latency)

    def load(self, stage: Stage, options: LoadOptions) -> OnnxExecutable:
        """A session on the provider.

        Raises:
            Unsupported: an operation that it does not take, or is not given.
            ArtifactError: no readable ONNX model.
            OutOfMemory: it does not fit.
            DeviceClosed: after `close`.
        """
        self._check_open()
        refusal = self._refusal_of(stage)
        if refusal:
            raise errors.Unsupported(
                f"{self.info.id} does not run stage {stage.name!r}: {refusal}",
                device_id=self.info.id,
                remedy="use another device",
            )
        return super().load(stage, options)

    def telemetry(self) -> Mapping[str, float | None]:
        """Readings of the host where its cores do the work; else none."""
        return readings() if self.info.uses_host_cores else {}

    def _executable(self, stage: Stage, opened: Opened) -> OnnxExecutable:
        return ProviderExecutable(stage, self.info.id, opened, self._provider.input_refusal)

    def _refusal_of(self, stage: Stage) -> str:
        if stage not in self._refusals:
            operations = () if self._provider.refusal is None else _typed_operations(stage)
            self._refusals[stage] = self._refusal(operations)
        return self._refusals[stage]

    def _refusal(self, operations: Iterable[Operation]) -> str:
        judge = self._provider.refusal
        found = (judge(operation) for operation in operations) if judge else ()
        return next(filter(None, found), "")


def _typed_operations(stage: Stage) -> Iterable[Operation]:
    """The operations with the dtypes of all that passes between them."""
    if not (isinstance(stage.artifact, OnnxArtifact) and stage.artifact.is_whole):
        return stage.operations
    from deepseek_onnx.runtime_types import typed  # onnx
    from deepseek_onnx.stages import Operations

    model = typed(stage.artifact.part.model)
    return Operations(model.nodes, model)


def _check_settings(provider: ProviderFacts, more: Mapping[str, str]) -> None:
    try:
        check(provider, find(provider), more)
    except errors.DeviceUnavailable as error:
        raise errors.ConfigError(
            f"provider_options {', '.join(f'{k}={v}' for k, v in more.items())}: {error.message}",
            remedy=f"give options that {provider.name} knows",
        ) from error


class ProviderExecutable(OnnxExecutable):
    """A session on a vendor's provider: what fails there may well run on another device."""

    def __init__(
        self,
        stage: Stage,
        device_id: str,
        opened: Opened,
        input_refusal: Callable[[Array], str | None] | None,
    ) -> None:
        self._input_refusal = input_refusal
        super().__init__(stage, device_id, opened)

    def bind(self, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> BoundCall:
        """Arrays that are read and rewritten by each call.

        An IO binding is not relied on: OpenVINO 2026.4 leaves bound outputs as they were.

        Raises:
            as `OnnxExecutable.bind`.
        """
        self._session_for(inputs, outputs)
        return _CopyingCall(self, inputs, outputs)

    def _failed(self, error: BaseException, inputs: Mapping[str, Any]) -> errors.DeepSeekError:
        return provider_error(error, self.stage, inputs, self.device_id)

    def _guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        judge = self._input_refusal
        if judge is None:
            return call

        def guarded(first: Any, inputs: Mapping[str, Any]) -> Any:
            for name, value in inputs.items():
                refusal = judge(value) if isinstance(value, np.ndarray) else None
                if refusal:
                    raise errors.Unsupported(
                        f"{self.device_id} does not run stage {self.stage.name!r} on these "
                        f"inputs: {name!r} {refusal}",
                        device_id=self.device_id,
                        remedy="use another device",
                    )
            return call(first, inputs)

        return guarded


class _CopyingCall(BoundCall):
    """A run, copied into the bound arrays."""

    def __init__(
        self,
        owner: ProviderExecutable,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> None:
        self.outputs = dict(outputs)
        self._inputs, self._owner = dict(inputs), owner

    def __call__(self) -> None:
        """Run once.

        Raises:
            as `OnnxExecutable.run`.
        """
        found = self._owner.run(self._inputs)
        for name, array in self.outputs.items():
            array[...] = found[name]
