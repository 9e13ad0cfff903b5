"""Every error that the SDK raises, as one tree.

DeepSeekError
|-- ConfigError (ValueError)          a setting, a switch or a name is wrong
|-- InputError (ValueError)           what the caller passed in does not fit
|   |-- TensorMismatch                wrong shape or dtype, or a tensor is missing
|   `-- ArtifactError                 a file is missing, truncated or of a foreign format
|-- WriteError (OSError)              a file can't be written
|-- GraphError (ValueError)           stages that do not form a valid graph
|-- PluginError                       a plugin broke its contract
|-- NoDevice                          no device can run a stage; says why each refused
|-- StageFailed                       a stage failed while a plan ran
|-- AdmissionRefused                  a deadline can't be met now; says when to try again
|-- Interrupted                       the run was stopped before its end
`-- DeviceError                       raised by or about one device
    |-- DeviceUnavailable             it is not there or can't be opened
    |-- Unsupported                   it does not run this operation, or not on these values
    |-- CompileError                  a kernel or engine did not build; carries the log
    |-- OutOfMemory                   retryable with a smaller batch
    |-- DeviceLost                    retryable on another device
    |   `-- TensorLost                what it made before is gone with it
    |-- DeviceTimeout (TimeoutError)  retryable
    |-- NotFinite                     it gave NaN or infinity, and the session checks that
    |-- InputRejected (InputError)    an operator refused the values that it was given
    `-- DeviceClosed                  used after close()
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar


class DeepSeekError(Exception):
    """Base of all errors of the SDK.

    `message` says what is wrong and where, `remedy` what to do about it.
    `retryable` tells a scheduler whether the same work may succeed elsewhere or later.
    """

    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} -> {self.remedy}" if self.remedy else self.message

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without a call of `__init__`: subclasses want arguments that have no default."""
        return _unpickled, (type(self), self.args, self.__dict__)


def _unpickled(
    kind: type[DeepSeekError], args: tuple[Any, ...], state: Mapping[str, Any]
) -> DeepSeekError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class ConfigError(DeepSeekError, ValueError):
    """A setting, a switch or a name is wrong."""


class InputError(DeepSeekError, ValueError):
    """What the caller passed in does not fit."""


class TensorMismatch(InputError):
    """A tensor is missing or has the wrong shape or dtype."""


class ArtifactError(InputError):
    """A file is missing, truncated or of a foreign format."""


class WriteError(DeepSeekError, OSError):
    """A file can't be written: no space, no permission, no such folder."""


class GraphError(DeepSeekError, ValueError):
    """The stages do not form a valid graph."""


class PluginError(DeepSeekError):
    """A plugin broke its contract."""


class StorageError(DeepSeekError):
    """Something about one storage tier, named by its `url`."""

    def __init__(self, message: str, *, url: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.url = url


class ObjectMissing(StorageError, KeyError):
    """There is no object of that key."""

    __str__ = DeepSeekError.__str__  # KeyError would print the repr


class TierUnavailable(StorageError, OSError):
    """The tier can't be reached or refuses us; it may be back later."""

    retryable = True
    __str__ = DeepSeekError.__str__


class TierFull(StorageError):
    """There is no space for the object."""


class NoDevice(DeepSeekError):
    """No device can run a stage; `refusals` maps each device id to its reason."""

    def __init__(
        self, message: str, *, refusals: Mapping[str, str], remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.refusals = dict(refusals)


class StageFailed(DeepSeekError):
    """A stage failed while a plan ran; the device's own error is the `__cause__`."""

    def __init__(
        self, message: str, *, stage: str, device_id: str, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.stage = stage
        self.device_id = device_id


class AdmissionRefused(DeepSeekError):
    """A request was refused before it started, for its deadline can't be met.

    `retry_after_s` seconds from now it may be accepted; None: it never will be.
    """

    retryable = True

    def __init__(
        self, message: str, *, retry_after_s: float | None, remedy: str | None = None
    ) -> None:
        super().__init__(message, remedy=remedy)
        self.retry_after_s = retry_after_s


class Interrupted(DeepSeekError):
    """The run was stopped before its end."""


class DeviceError(DeepSeekError):
    """Something about one device, named by `device_id`."""

    def __init__(self, message: str, *, device_id: str, remedy: str | None = None) -> None:
        super().__init__(message, remedy=remedy)
        self.device_id = device_id


class DeviceUnavailable(DeviceError):
    """The device is not there or can't be opened."""


class Unsupported(DeviceError):
    """The device does not run this operation, or not on the values that it was given."""


class CompileError(DeviceError):
    """A kernel or engine did not build; `log` is the compiler's own text."""

    def __init__(
        self, message: str, *, device_id: str, log: str = "", remedy: str | None = None
    ) -> None:
        super().__init__(message, device_id=device_id, remedy=remedy)
        self.log = log


class OutOfMemory(DeviceError):
    """The device's memory is exhausted; a smaller batch may fit."""

    retryable = True


class DeviceLost(DeviceError):
    """The device stopped answering; its tasks may run on another one."""

    retryable = True


class TensorLost(DeviceLost):
    """A tensor is gone with the device that made it; the batch begins again elsewhere."""


class DeviceTimeout(DeviceError, TimeoutError):
    """The device did not finish in time."""

    retryable = True


class NotFinite(DeviceError):
    """The device gave NaN or infinity for finite inputs, and the session checks that."""


class InputRejected(DeviceError, InputError):
    """An operator refused the values that it was given; the fault is not the device's."""


class DeviceClosed(DeviceError):
    """The device or executable was used after `close()`."""
