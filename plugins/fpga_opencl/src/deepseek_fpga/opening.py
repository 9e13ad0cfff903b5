"""Opens an OpenCL device by the id that `platforms` lists."""

from __future__ import annotations

from typing import Any

from deepseek_core import errors
from deepseek_fpga.platforms import DeviceRecord, vendor_devices
from deepseek_fpga.pocl_target import (
    OTHER_POCL,
    SWITCH,
    UNKNOWN_CPU,
    ensure_known_cpu,
    is_unknown_cpu,
)
from deepseek_fpga.vendor_errors import NO_PYOPENCL, install_pocl, translated

UNPATCHED = f"{UNKNOWN_CPU}, and the setting pocl_patch is off"
PATCH_REMEDY = f"{SWITCH}=true (or {OTHER_POCL})"


class OpenDevice:
    """A device with its context; programs, queues and buffers are made from it.

    Contexts may be shared by threads; queues and kernels may not, so every user makes its own.
    """

    def __init__(self, record: DeviceRecord, device: Any, *, patch: bool = True) -> None:
        import pyopencl as cl

        self.record = record
        self.device = device
        self.programmed: tuple[str, str] | None = None
        """Of a board: path and checksum of the binary that it was given here."""
        versions = record.platform_version, record.device_version
        if not patch and is_unknown_cpu(*versions):
            raise errors.DeviceUnavailable(
                f"{record.id}: {UNPATCHED}", device_id=record.id, remedy=PATCH_REMEDY
            )
        self._target = ensure_known_cpu(device, *versions)
        with translated(record.id):
            self._context: Any = cl.Context([device])

    @property
    def id(self) -> str:
        """The id it was opened by."""
        return self.record.id

    @property
    def context(self) -> Any:
        """The `pyopencl.Context`.

        Raises:
            DeviceClosed: after `close()`.
        """
        if self._context is None:
            raise errors.DeviceClosed(f"{self.id} is closed", device_id=self.id)
        return self._context

    @property
    def fingerprint(self) -> str:
        """Device, driver and, where it was chosen here, the CPU that code is compiled for."""
        text = self.record.fingerprint
        return f"{text}|{self._target}" if self._target else text

    def make_queue(self, *, profiling: bool = False) -> Any:
        """A new in-order command queue."""
        import pyopencl as cl

        flags = cl.command_queue_properties.PROFILING_ENABLE if profiling else 0
        with translated(self.id):
            return cl.CommandQueue(self.context, self.device, properties=flags)

    def close(self) -> None:
        """Let go of the context; what was made from it keeps it alive until closed itself."""
        self._context = None


def open_device(device_id: str, *, patch_pocl: bool = True) -> OpenDevice:
    """Open the device with this id; `patch_pocl`: see `pocl_target`.

    Raises:
        DeviceUnavailable: there is no such device, no OpenCL at all, or it would build nothing.
    """
    try:
        found = vendor_devices()
    except ImportError as error:
        raise errors.DeviceUnavailable(
            f"{device_id}: {NO_PYOPENCL}", device_id=device_id, remedy=install_pocl()
        ) from error
    for record, device in found:
        if record.id == device_id:
            return OpenDevice(record, device, patch=patch_pocl)
    present = ", ".join(record.id for record, _ in found) or "none"
    raise errors.DeviceUnavailable(
        f"there is no OpenCL device {device_id} (present: {present})",
        device_id=device_id,
        remedy="run `ds-sdk devices`",
    )
