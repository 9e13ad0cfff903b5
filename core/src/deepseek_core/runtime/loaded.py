"""A stage loaded on a plugin's device, as the SDK uses it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from queue import SimpleQueue
from typing import Any

from deepseek_core.contracts.device import Device, Executable
from deepseek_core.contracts.errors import PluginError
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.tensor import dtype_name, shape_text
from deepseek_core.discovery.strangers import one_line, raise_if_ours
from deepseek_core.runtime.logs import warn
from deepseek_core.runtime.promises import checks_of

Slots = SimpleQueue[int]
"""The numbers of a device's free slots; whoever runs there takes one and puts it back."""


class Loaded:
    """Runs as many batches at once as the device has slots, and checks what it gives.

    `checks_inputs` as in `Executable`.
    """

    def __init__(self, executable: Executable, stage: Stage, device: Device, slots: Slots) -> None:
        self.stage, self.device, self.device_id = stage, device, device.info.id
        self.checks_inputs = bool(executable.checks_inputs)
        self._executable, self._slots = executable, slots
        self._wanted = tuple((s.name, s.dtype, bool(s.container)) for s in stage.outputs)
        self._checks = checks_of(stage)

    def run(self, inputs: Mapping[str, Any]) -> tuple[Mapping[str, Array], int, float, float]:
        """Outputs of one batch, the slot that it had, start and end in seconds of `perf_counter`.

        Raises:
            PluginError: outputs that the stage does not have.
            DeviceError: what went wrong on the device.
        """
        slots = self._slots
        slot = slots.get()
        try:
            start_s = time.perf_counter()
            outputs = self._executable.run(inputs)
            end_s = time.perf_counter()
        finally:
            slots.put(slot)
        try:
            for name, dtype, is_container in self._wanted:
                value: Any = outputs[name]
                if not is_container and (dtype_name(value.dtype) != dtype or value.shape is None):
                    raise self._fault(outputs)
            for fits in self._checks:
                if not fits(inputs, outputs):
                    raise self._fault(outputs)
        except (TypeError, LookupError, AttributeError, ValueError) as error:
            raise self._fault(outputs) from error
        return outputs, slot, start_s, end_s

    def _fault(self, outputs: object) -> PluginError:
        given: object = type(outputs).__name__
        if isinstance(outputs, Mapping):
            given = ", ".join(f"{name}: {_kind(value)}" for name, value in outputs.items())
            given = given or "nothing"
        return PluginError(
            f"{self.device_id} broke its contract: stage {self.stage.name!r} makes "
            f"{'; '.join(map(str, self.stage.outputs))}, and it gave {given}"
        )

    def warmup(self, batch: int) -> None:
        """Do what the first run of this batch size would do once."""
        self._executable.warmup(batch)

    def close(self) -> None:
        """Free it; one that does not let itself be closed is told to the log."""
        try:
            self._executable.close()
        except BaseException as error:  # noqa: BLE001 - the others must be closed too
            raise_if_ours(error)
            told = f"{self.stage.name} on {self.device_id} did not close: {one_line(error)}"
            warn(__name__, told)


def _kind(value: Any) -> str:
    """Dtype and shape, or what it is instead of an array."""
    if not hasattr(value, "dtype"):
        return type(value).__name__
    shape = getattr(value, "shape", None)
    return f"{value.dtype} {shape_text(shape)}" if isinstance(shape, tuple) else f"{value.dtype}"
