"""The driver's refusals as errors of the SDK, and waits that end."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from deepseek_core import errors
from deepseek_cuda.driver.api import CudaApi, CudaFault

_log = logging.getLogger(__name__)

_MEMORY: Final = {"CUDA_ERROR_OUT_OF_MEMORY"}
_ABSENT: Final = {
    "CUDA_ERROR_NO_DEVICE", "CUDA_ERROR_INVALID_DEVICE", "CUDA_ERROR_DEVICE_NOT_LICENSED",
    "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH", "CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE",
    "CUDA_ERROR_DEVICE_UNAVAILABLE", "CUDA_ERROR_NOT_PERMITTED",
}  # fmt: skip
# A kernel's own fault ends the context of the process, which then refuses all that follows.
_SPOILT: Final = {
    "CUDA_ERROR_ILLEGAL_ADDRESS", "CUDA_ERROR_LAUNCH_FAILED", "CUDA_ERROR_MISALIGNED_ADDRESS",
    "CUDA_ERROR_ILLEGAL_INSTRUCTION", "CUDA_ERROR_ASSERT", "CUDA_ERROR_CONTEXT_IS_DESTROYED",
}  # fmt: skip
# How long the first looks at an event are apart; later ones are further.
_FIRST_S: Final = 20e-6
_LAST_S: Final = 2e-3


def from_fault(fault: CudaFault, device_id: str) -> errors.DeviceError:
    """The SDK's error for one of the driver's."""
    text = f"{device_id}: {fault}"
    if fault.name in _MEMORY:
        return errors.OutOfMemory(text, device_id=device_id, remedy="use a smaller batch")
    if fault.name in _ABSENT:
        return errors.DeviceUnavailable(text, device_id=device_id, remedy="ds-sdk doctor")
    if fault.name in _SPOILT:
        return errors.DeviceLost(
            text, device_id=device_id, remedy="start the process again: its CUDA context is spoilt"
        )
    return errors.DeviceLost(
        text, device_id=device_id, remedy="nvidia-smi (does it still show the GPU? else reboot)"
    )


@contextmanager
def translated(device_id: str) -> Iterator[None]:
    """Run calls of the driver; raise the SDK's errors for its own.

    Raises:
        OutOfMemory, DeviceUnavailable, DeviceLost: what the driver's error means.
    """
    try:
        yield
    except CudaFault as fault:
        raise from_fault(fault, device_id) from fault


@contextmanager
def unless_lost(device_id: str) -> Iterator[None]:
    """Free what a device holds; one that does not answer any more has nothing to free."""
    try:
        yield
    except (CudaFault, errors.DeviceError) as fault:
        _log.warning("%s did not answer while it was closed: %s", device_id, fault)


def await_event(api: CudaApi, event: int, device_id: str, limit_s: float) -> None:
    """Return once the event is done.

    Raises:
        DeviceTimeout: it was not within the limit.
        CudaFault: the driver refused to tell, as for a GPU that fell off the bus.
    """
    end_s, pause_s = api.now_s() + limit_s, _FIRST_S
    while not api.is_done(event):
        if api.now_s() > end_s:
            raise errors.DeviceTimeout(
                f"{device_id} did not finish a run in {limit_s:g} s",
                device_id=device_id,
                remedy="nvidia-smi (is the GPU busy with other work?)",
            )
        api.pause(pause_s)
        pause_s = min(2 * pause_s, _LAST_S)
