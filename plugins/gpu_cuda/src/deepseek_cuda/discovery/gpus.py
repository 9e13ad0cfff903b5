"""GPUs, MIG instances and drivers as plain records: what NVML tells of a machine."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

Version = tuple[int, int]
"""Major and minor: of a compute capability, of CUDA."""

Trouble = Literal["no library", "not loaded", "mismatch", "no permission", "failed"]
"""What keeps NVML from answering at all."""

Fault = Literal["lost", "reset", "denied", "silent"]
"""What keeps one GPU from answering: it fell off the bus, has to be reset, is not for this process
(which CUDA then does not count either), or NVML has another reason."""


@frozen(kw_only=True)
class Instance:
    """A MIG instance: a share of a GPU that CUDA takes for a device of its own."""

    uuid: str
    name: str
    gpu_instance: int
    compute_instance: int
    mem_bytes: int | None


@frozen(kw_only=True)
class Gpu:
    """One GPU, or the place of one that no longer answers.

    `index` is NVML's and nvidia-smi's number: by PCI bus. Where there is a `fault`, NVML's own
    `words` for it follow, and all else is empty. A GPU of a Jetson has no `bus_id`.
    """

    index: int
    uuid: str = ""
    name: str = ""
    bus_id: str = ""
    capability: Version | None = None
    mem_bytes: int | None = None
    has_mig: bool = False
    instances: tuple[Instance, ...] = ()
    fault: Fault | None = None
    words: str = ""

    @property
    def make(self) -> tuple[str, Version | None, int | None]:
        """What equal cards have in common."""
        return self.name, self.capability, self.mem_bytes


@frozen(kw_only=True)
class Machine:
    """What NVML says of a machine; `trouble` and NVML's own `words` where it says nothing.

    `cuda` is the newest CUDA that the driver can serve.
    """

    driver: str = ""
    cuda: Version | None = None
    gpus: tuple[Gpu, ...] = ()
    trouble: Trouble | None = None
    words: str = ""


@frozen(kw_only=True)
class Unit:
    """What CUDA takes for one device: a GPU, or one MIG instance of it."""

    gpu: Gpu
    instance: Instance | None = None

    @property
    def id(self) -> str:
        """`cuda:0`, or `cuda:0:7:0` with the GPU instance and the compute instance."""
        if self.instance is None:
            return f"cuda:{self.gpu.index}"
        return (
            f"cuda:{self.gpu.index}:{self.instance.gpu_instance}:{self.instance.compute_instance}"
        )

    @property
    def uuid(self) -> str:
        """The name that CUDA_VISIBLE_DEVICES takes."""
        return self.gpu.uuid if self.instance is None else self.instance.uuid

    @property
    def name(self) -> str:
        """What it is, for people."""
        return (self.gpu if self.instance is None else self.instance).name

    @property
    def mem_bytes(self) -> int | None:
        """Memory in all."""
        return (self.gpu if self.instance is None else self.instance).mem_bytes
