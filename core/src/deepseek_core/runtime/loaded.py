"""A stage loaded on a plugin's device, as the SDK uses it."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from queue import Empty
from typing import Any, Final

from deepseek_core.contracts.device import Executable
from deepseek_core.contracts.errors import DeviceLost, DeviceTimeout, NotFinite, PluginError
from deepseek_core.contracts.place import TimedOutputs
from deepseek_core.contracts.stage import Array, Stage
from deepseek_core.contracts.tensor import dtype_name, shape_text
from deepseek_core.contracts.units import format_seconds
from deepseek_core.runtime.limits import PATIENT_S
from deepseek_core.runtime.opened import LEFT, Opened, Slots
from deepseek_core.runtime.promises import checks_of, is_finite
from deepseek_core.runtime.residents import Resident, is_array

_FIRST: Final = 4  # runs of a device that checks inputs itself, and may be as quick as a look
_ALWAYS: Final = sys.maxsize


class Loaded:
    """Runs as many batches at once as the device has slots, and checks what it gives.

    `checks_inputs` as in `Executable`. `check_finite` takes NaN and infinity for a fault.
    """

    def __init__(
        self,
        executable: Executable,
        stage: Stage,
        opened: Opened,
        slots: Slots,
        *,
        check_finite: bool = False,
    ) -> None:
        from deepseek_core.runtime.owned import locked, owned  # numpy: start-up counts

        self._locked, self._owned = locked, owned
        self.stage, self.opened, self.device_id = stage, opened, opened.id
        self.checks_inputs = bool(executable.checks_inputs)
        self._executable, self._slots = executable, slots
        # (name, dtype, whether it is a container) of each output
        self._wanted = tuple((s.name, s.dtype, bool(s.container)) for s in stage.outputs)
        self._names = tuple(spec.name for spec in stage.outputs)
        self._checks = checks_of(stage)  # what the stage promises of shapes and items
        self._check_finite = check_finite
        # What is looked at after each run must be on the host.
        self.keeps = bool(getattr(opened.device, "keeps_tensors", False)) and not check_finite
        # A look costs half a microsecond. One that fills the same arrays again does it at once.
        self._looks = _FIRST if self.checks_inputs else _ALWAYS

    def run(
        self, inputs: Mapping[str, Any], keep: frozenset[str] = frozenset()
    ) -> tuple[Mapping[str, Array], int, float, float]:
        """Outputs of one batch, the slot that it had, start and end in seconds of `perf_counter`.

        Nobody else holds the outputs, nor writes into them. Those in `keep`, which is for a device
        that `keeps`, may be what it left there: see `left`.

        Raises:
            PluginError: outputs that the stage does not have.
            NotFinite: they hold NaN or infinity, where that is checked.
            DeviceError: what went wrong on the device.
        """
        slots = self._slots
        try:
            slot = slots.get(True, PATIENT_S)
        except Empty:
            raise self._no_slot() from None
        if slot == LEFT or self.opened.silent:  # one with several slots may have free ones
            raise self._is_left()
        if not self.checks_inputs:
            inputs = self._locked(inputs)
        try:
            start_s = time.perf_counter()
            outputs = self._executable.run_kept(inputs, keep)
            end_s = time.perf_counter()
            away_s = outputs.seconds if isinstance(outputs, TimedOutputs) else None
            start_s = start_s if away_s is None else max(start_s, end_s - away_s)
        finally:
            slots.put(slot)
        try:
            if len(outputs) != len(self._wanted):
                raise self._fault(outputs)
            if self._looks:  # before any name here holds one of them
                ours = self._owned(outputs, self._names)
                is_fine = ours is outputs and self.checks_inputs
                self._looks = self._looks - 1 if is_fine else _ALWAYS
                outputs = ours
            for name, dtype, is_container in self._wanted:
                value: Any = outputs[name]
                if not is_container and (dtype_name(value.dtype) != dtype or value.shape is None):
                    raise self._fault(outputs)
            for fits in self._checks:
                if not fits(inputs, outputs):
                    raise self._fault(outputs)
        except (TypeError, LookupError, AttributeError, ValueError) as error:
            raise self._fault(outputs) from error
        if self._check_finite and not is_finite(self.stage, inputs, outputs):
            raise NotFinite(
                f"{self.device_id} gave NaN or infinity in stage {self.stage.name!r}",
                device_id=self.device_id,
            )
        return outputs, slot, start_s, end_s

    def can_take(self, tensors: Mapping[str, Any]) -> bool:
        """Whether its inputs are on the host, or on the device as it is open now."""
        found = (tensors.get(spec.name) for spec in self.stage.inputs)
        left = (value for value in found if type(value) is Resident and value.host is None)
        return all(value.opened is self.opened for value in left)

    def taken(self, value: Any) -> Any:
        """A tensor as this device takes it: what lies there as it is, else on the host."""
        if type(value) is not Resident:
            return value
        return value.value if self.keeps and value.opened is self.opened else value.to_host()

    def left(self, outputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Outputs of a run with what is on the device, asked for or not, as `Resident`."""
        return {
            name: outputs[name]
            if is_container or is_array(outputs[name])
            else Resident(outputs[name], self.opened)
            for name, _dtype, is_container in self._wanted
        }

    def _is_left(self) -> DeviceLost:
        self._slots.put(LEFT)  # for the next one
        return DeviceLost(self.opened.silent, device_id=self.device_id)

    def _no_slot(self) -> DeviceTimeout:
        return DeviceTimeout(
            f"{self.device_id} had no free slot in {format_seconds(PATIENT_S)}: its runs hang",
            device_id=self.device_id,
        )

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
        """Do what the first run of this batch size would do once.

        Raises:
            DeviceError: its own error, or it does not come back.
        """
        self.opened.warmup(self._executable, batch)

    def close(self) -> None:
        """Free it; one that does not let itself be closed is told to the log."""
        self.opened.free(self._executable, self.stage.name)


def _kind(value: Any) -> str:
    """Dtype and shape, or what it is instead of an array."""
    if not hasattr(value, "dtype"):
        return type(value).__name__
    shape = getattr(value, "shape", None)
    return f"{value.dtype} {shape_text(shape)}" if isinstance(shape, tuple) else f"{value.dtype}"
