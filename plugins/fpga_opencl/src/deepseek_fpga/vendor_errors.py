"""Vendor errors become the SDK's own, in this one place.

pyopencl raises its own classes with OpenCL status codes. Everything in this package that calls
it does so inside `translated`, so that no vendor exception leaks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from deepseek_core import errors

_OUT_OF_MEMORY = {-4, -5, -6}  # MEM_OBJECT_ALLOCATION_FAILURE, OUT_OF_RESOURCES, OUT_OF_HOST_MEMORY
_UNAVAILABLE = {-1, -2, -1001}  # DEVICE_NOT_FOUND, DEVICE_NOT_AVAILABLE, PLATFORM_NOT_FOUND
_BUILD = {-11, -15, -17, -42, -43, -44}  # BUILD, COMPILE and LINK failures; bad binary or options

NO_PYOPENCL = "pyopencl is not installed"


def install_pocl() -> str:
    """The command that brings pyopencl, with a runtime for the CPU."""
    from deepseek_core import console  # only a remedy needs it

    return console.install_command("deepseek-fpga", extra="pocl")


def from_vendor(error: Exception, device_id: str) -> errors.DeviceError:
    """The SDK's error for one that pyopencl raised."""
    code = getattr(error, "code", None)
    text = f"{device_id}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    if code in _OUT_OF_MEMORY:
        return errors.OutOfMemory(
            text, device_id=device_id, remedy="use a smaller batch or gallery"
        )
    if code in _UNAVAILABLE:
        return errors.DeviceUnavailable(text, device_id=device_id, remedy="run `ds-sdk devices`")
    if code in _BUILD:
        return errors.CompileError(
            text, device_id=device_id, log=str(error), remedy="see the error's log"
        )
    return errors.DeviceLost(text, device_id=device_id, remedy="open the device again")


@contextmanager
def translated(device_id: str) -> Iterator[None]:
    """Run a block of pyopencl calls; raise the SDK's errors for its own.

    Raises:
        OutOfMemory, DeviceUnavailable, CompileError, DeviceLost: what the vendor's error means.
    """
    try:
        import pyopencl as cl
    except ImportError as error:
        raise errors.DeviceUnavailable(
            f"{device_id}: {NO_PYOPENCL}", device_id=device_id, remedy=install_pocl()
        ) from error
    try:
        yield
    except cl.Error as error:
        raise from_vendor(error, device_id) from error
