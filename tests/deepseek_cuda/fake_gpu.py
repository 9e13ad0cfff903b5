"""A device on the fake driver: the real pipeline and the real engine, computing on the CPU."""

from __future__ import annotations

import weakref
from importlib.util import find_spec

import fake_kernels
from fake_cuda import FakeCuda

from deepseek_core import DeviceInfo, OpenOptions
from deepseek_cuda.device import CudaDevice, Parts
from deepseek_cuda.onnx_stages.engine import open_engine
from deepseek_cuda.onnx_stages.provider import Provider
from deepseek_cuda.place import Place
from deepseek_cuda.torch_programs.opener import ProgramOpener

_BYTES_PER_S = 10e9


def info(device_id="cuda:0"):
    return DeviceInfo(
        id=device_id,
        kind="gpu",
        name="fake",
        evidence="model",
        fingerprint="fake|1",
        vendor="NVIDIA",
    )


def on_cpu(stream):
    """ONNX Runtime's CPU provider, whose memory is where the fake has its own."""
    return Provider(listed=[("CPUExecutionProvider", {})], device="cpu")


class TracedEngine:
    """An engine whose kernels the fake knows of; `spoil` may end a launch with an error."""

    def __init__(self, fake, engine, stream, spoil=None):
        self.is_built = engine.is_built
        self.fake, self.engine, self.stream, self.spoil = fake, engine, stream, spoil

    def launch(self, inputs):
        reads = [(tensor.address, tensor.nbytes) for tensor in inputs.values()]
        nbytes = sum(n for _, n in reads)
        self.fake.work(self.stream, reads, [], nbytes / _BYTES_PER_S, "the kernel")
        if self.spoil is not None:
            self.spoil(inputs)
        launched = self.engine.launch(inputs)
        tensors = [tensor for tensor in launched.outputs.values() if tensor.nbytes]
        for tensor in tensors:
            self.fake.adopt(self.stream, tensor.address, tensor.nbytes)
        weakref.finalize(launched, self.fake.forget, [tensor.address for tensor in tensors])
        return launched

    def placed(self, constants):
        return self.engine.placed(constants)

    def release(self):
        self.engine.release()

    def close(self):
        self.engine.close()


class Traced:
    """An opener whose engines the fake knows of."""

    def __init__(self, fake, opener, spoil):
        self.fake, self.opener, self.spoil = fake, opener, spoil
        self.domain, self.supports = opener.domain, opener.supports

    def open(self, stage, stream):
        return TracedEngine(self.fake, self.opener.open(stage, stream), stream, self.spoil)


def make_device(folder, fake=None, *, spoil=None, openers=None, traced=False, **settings):
    """An open device; `device.fake` is its driver.

    `openers` are called with the driver; `traced` are those that allocate by themselves.
    """
    fake = fake or FakeCuda()
    fake.use()
    streams = []

    def provider(stream):
        streams.append(stream)
        return on_cpu(stream)

    def engine(stage, device_id, of, strict):
        opened = open_engine(stage, device_id, of, strict=strict)
        return TracedEngine(fake, opened, streams[-1], spoil)

    parts = Parts(
        api=fake, provider=provider, engine=engine, program=fake_kernels.program,
        readings=lambda: {"busy": None},
        openers={
            name: Traced(fake, make(fake), spoil) if traced else make(fake)
            for name, make in (openers or {}).items()
        },
    )  # fmt: skip
    options = OpenOptions(threads=1, cache_dir=folder, settings=settings)
    device = CudaDevice(info(), options, parts)
    device.fake = fake
    return device


def programs():
    """Openers of torch programs that compute on the host; none where torch is not installed."""
    if find_spec("torch") is None:
        return {}
    from host_torch import HostTorch

    place = Place(device_id="cuda:0", name="A100", capability=(8, 0), ordinal=0)
    return {"pt2": lambda api: ProgramOpener(place, lambda: ("", ""), HostTorch)}
