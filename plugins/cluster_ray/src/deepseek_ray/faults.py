"""What Ray raises, as errors of the SDK."""

from __future__ import annotations

from typing import Any, Final

from deepseek_core import errors

MISSING: Final = (
    "install there what is here: ds-sdk plugins export here, ds-sdk plugins restore FILE there"
)
_ROOM = "start the node with more (ray start --object-store-memory=BYTES), or make batches smaller"


def translated(error: BaseException, device_id: str) -> BaseException:
    """The SDK's error for one that a call of an actor raised.

    What the device itself raised comes back as it was; of whatever else it raised, its text.
    """
    from ray import exceptions

    if isinstance(error, exceptions.RayTaskError):
        return _of_task(error, device_id)
    if isinstance(error, exceptions.RayActorError):
        return errors.DeviceLost(
            f"{device_id} is gone: {_text(error)}",
            device_id=device_id,
            remedy="ray status tells which nodes are left",
        )
    if isinstance(error, exceptions.ObjectStoreFullError | exceptions.OutOfDiskError):
        return errors.OutOfMemory(
            f"the object store of a node is full: {_text(error)}",
            device_id=device_id,
            remedy=_ROOM,
        )
    if isinstance(error, exceptions.ObjectLostError):
        return errors.TensorLost(
            f"what {device_id} made is gone: {_text(error)}", device_id=device_id
        )
    if isinstance(error, exceptions.RayError):
        return errors.DeviceLost(f"{device_id}: {_text(error)}", device_id=device_id)
    return error


def _of_task(error: Any, device_id: str) -> BaseException:
    from ray import exceptions

    cause: BaseException | None = error.cause
    if isinstance(cause, errors.DeviceError):
        return _renamed(cause, device_id)
    if isinstance(cause, errors.DeepSeekError):
        return cause
    if isinstance(cause, exceptions.RayError):
        return translated(cause, device_id)
    if isinstance(cause, MemoryError):
        return errors.OutOfMemory(f"{device_id}: out of memory on its node", device_id=device_id)
    return RuntimeError(f"{type(cause).__name__}: {_text(cause or error)}")


def _renamed(error: errors.DeviceError, device_id: str) -> errors.DeviceError:
    """The same error by the id that the device has in the cluster."""
    error.message = error.message.replace(error.device_id, device_id)
    error.args = (error.message,)
    error.device_id = device_id
    return error


def _text(error: BaseException) -> str:
    """First line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]
