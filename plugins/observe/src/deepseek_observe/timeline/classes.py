"""What a row of a timeline is: an operation of a device, or something of the host around it."""

from __future__ import annotations

import enum
from typing import Final


class Class(enum.IntEnum):
    """The first four are work of a device; `SYNC` is a device that waits for another stream.

    Of the host: a `LAUNCH` begins work of a device, a `WAIT` waits for it, a `CALL` is another call
    of the driver, an `OPERATION` is one of the framework, a `RANGE` was marked by the user.
    """

    COMPUTE = 0
    COMMUNICATION = 1
    COPY = 2
    FILL = 3
    SYNC = 4
    LAUNCH = 5
    WAIT = 6
    CALL = 7
    OPERATION = 8
    RANGE = 9


WORK: Final = (Class.COMPUTE, Class.COMMUNICATION, Class.COPY, Class.FILL)
"""What keeps a device busy."""
HOST: Final = -1
"""The device of rows of the host; their stream is the number of a thread."""

_COMMUNICATION: Final = ("nccl", "rccl", "hccl", "mscclpp", "nvshmem", "deep_ep", "void deep_ep")
_WITHIN: Final = ("ncclKernel", "ncclDevKernel", "nvshmem", "deep_ep::", "cross_device_reduce")
_LAUNCHES: Final = ("Launch", "Memcpy", "Memset", "memcpy", "memset", "MemPrefetch")
_WAITS: Final = ("Synchronize", "StreamWaitEvent")


def of_kernel(name: str) -> Class:
    """Whether a kernel computes or exchanges, by its name."""
    if name.startswith(_COMMUNICATION) or any(part in name for part in _WITHIN):
        return Class.COMMUNICATION
    return Class.COMPUTE


def of_call(name: str) -> Class:
    """What a call of CUDA or HIP is for the device."""
    if any(part in name for part in _LAUNCHES):
        return Class.LAUNCH
    if name.endswith(_WAITS) or any(f"{part}_" in name for part in _WAITS):
        return Class.WAIT
    return Class.CALL
