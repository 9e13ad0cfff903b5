"""A CUDA driver of its own: a simulated clock, and an accuser of whoever misuses it.

Each stream has a time line, and knows of what came before by what it waited for (a vector clock:
Lamport 1978, Mattern 1989). An access to memory that does not know of an earlier one that it
conflicts with is a race, whatever the order in which it happened to run. Memory is the host's, so
that a session of ONNX Runtime on the CPU can compute on "device" addresses.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable

import attrs
import fake_kernels
import numpy as np

from deepseek_cuda.driver.api import CudaFault

HOST = 0
_BUS_BYTES_PER_S = 10e9
_CALL_S = 2e-6


class Misuse(AssertionError):
    """What a real GPU would answer with wrong numbers, now and then."""


@attrs.define(eq=False)
class Block:
    """Memory with the accesses to it: (stream, number, first byte, end, writes, what)."""

    kind: str
    address: int
    nbytes: int
    array: np.ndarray | None = None
    accesses: list[tuple] = attrs.field(factory=list)
    written: np.ndarray | None = None


@attrs.define
class Stream:
    """What the stream knows of all streams, and when it will be idle."""

    clock: dict[int, int] = attrs.field(factory=dict)
    ready_s: float = 0.0


@attrs.define
class Mark:
    """The last record of an event."""

    clock: dict[int, int]
    at_s: float


def merge(into, other):
    for stream, number in other.items():
        into[stream] = max(into.get(stream, 0), number)


class FakeCuda:
    """`CudaApi` that raises `Misuse`."""

    ordinal = 0

    def __init__(self, capacity=1 << 30):
        self.capacity, self.used = capacity, 0
        self.streams, self.events, self.blocks = {}, {}, {}
        self.host, self.clock_s = {HOST: 0}, 0.0
        self.numbers = itertools.count(1)
        self.current = set()
        self.faults = []
        self.graves = []  # so that no address comes back
        self.calls = 0
        self.hangs = False
        self.falls_off_after = None
        self.is_closed = False
        self.modules, self.functions, self.graphs = {}, {}, {}
        self.noted = {}  # of each stream that is being captured: what was put on it
        self.refuses_capture = False
        self.launches = []
        self.copied = []  # "in" or "out" for each copy between host and device

    # what a call costs and who may make it
    def _called(self, name):
        self.calls += 1
        self.clock_s += _CALL_S
        if self.faults:
            raise self.faults.pop()
        if self.is_closed:
            raise Misuse(f"{name} after close")
        if threading.get_ident() not in self.current:
            raise Misuse(f"{name} on a thread without a current context")
        if self.falls_off_after is not None and self.calls > self.falls_off_after:
            raise CudaFault(name, 999, "CUDA_ERROR_UNKNOWN")

    def use(self):
        self.current.add(threading.get_ident())
        self._called("use")

    # streams and events
    def create_stream(self):
        self._called("create_stream")
        number = next(self.numbers)
        self.streams[number] = Stream()
        return number

    def destroy_stream(self, stream):
        self._called("destroy_stream")
        self._stream(stream)
        del self.streams[stream]

    def create_event(self):
        self._called("create_event")
        number = next(self.numbers)
        self.events[number] = None
        return number

    def destroy_event(self, event):
        self._called("destroy_event")
        self._mark(event, unrecorded=True)
        del self.events[event]

    def record(self, event, stream):
        self._called("record")
        self._mark(event, unrecorded=True)
        line = self._stream(stream)
        at_s = float("inf") if self.hangs else max(line.ready_s, self.clock_s)
        self.events[event] = Mark(dict(line.clock), at_s)

    def wait(self, stream, event):
        self._called("wait")
        self._check_no_capture("wait")
        mark, line = self._mark(event), self._stream(stream)
        merge(line.clock, mark.clock)
        line.ready_s = max(line.ready_s, mark.at_s)

    def is_done(self, event):
        self._called("is_done")
        mark = self._mark(event)
        if self.clock_s < mark.at_s:
            return False
        merge(self.host, mark.clock)
        return True

    def _stream(self, stream):
        if stream not in self.streams:
            raise Misuse(f"stream {stream} does not exist")
        return self.streams[stream]

    def _mark(self, event, unrecorded=False):
        if event not in self.events:
            raise Misuse(f"event {event} does not exist")
        mark = self.events[event]
        if mark is None and not unrecorded:
            raise Misuse(f"event {event} was never recorded")
        return mark

    # memory
    def alloc(self, nbytes):
        self._called("alloc")
        self._check_no_capture("alloc")
        return self._allocated("device", nbytes)

    def free(self, address):
        self._called("free")
        self._freed("device", address)

    def alloc_pinned(self, nbytes):
        self._called("alloc_pinned")
        self._check_no_capture("alloc_pinned")
        return self._allocated("pinned", nbytes)

    def free_pinned(self, address):
        self._called("free_pinned")
        self._freed("pinned", address)

    def _allocated(self, kind, nbytes):
        if kind == "device":
            if self.used + nbytes > self.capacity:
                raise CudaFault("alloc", 2, "CUDA_ERROR_OUT_OF_MEMORY")
            self.used += nbytes
        array = np.zeros(nbytes, np.uint8)
        address = array.ctypes.data
        self.blocks[address] = Block(kind, address, nbytes, array, written=np.zeros(nbytes, bool))
        return address

    def _freed(self, kind, address):
        block = self.blocks.get(address)
        if block is None or block.kind != kind:
            raise Misuse(f"freed {kind} memory that is not there")
        self._check_idle(block)
        self.used -= block.nbytes if kind == "device" else 0
        self.graves.append(self.blocks.pop(address).array)

    def _check_idle(self, block):
        for stream, number, _first, _end, _writes, what in block.accesses:
            if number > self.host.get(stream, 0):
                raise Misuse(f"{block.kind} memory was freed while {what} may use it")

    def adopt(self, stream, address, nbytes):
        """Memory of the engine's own arena that a kernel on this stream has written."""
        if nbytes:
            block = Block("engine", address, nbytes, written=np.ones(nbytes, bool))
            self.blocks[address] = block
            self._touch(self.streams[stream].clock, stream, address, nbytes, True, "the kernel")

    def forget(self, addresses: Iterable[int]):
        """The engine took its memory back; called by the garbage collector, it can't raise."""
        for address in addresses:
            block = self.blocks.pop(address, None)
            try:
                if block is not None:
                    self._check_idle(block)
            except Misuse as fault:
                self.faults.append(fault)

    # work
    def fill_pinned(self, address, array):
        self._called("fill_pinned")
        self._host_access(address, array.nbytes, True)
        block = self._block(address, array.nbytes, "the host's write")
        block.array[address - block.address :][: array.nbytes] = array

    def read_pinned(self, address, array):
        self._called("read_pinned")
        self._host_access(address, array.nbytes, False)
        block = self._block(address, array.nbytes, "the host's read")
        array[...] = block.array[address - block.address :][: array.nbytes]

    def _host_access(self, address, nbytes, writes):
        self.host[HOST] += 1
        what = "the host's write" if writes else "the host's read"
        self._touch(self.host, HOST, address, nbytes, writes, what)

    def copy_in(self, device, pinned, nbytes, stream):
        self._called("copy_in")
        self.copied.append("in")
        self._copy(device, "device", pinned, "pinned", nbytes, stream, "a copy to the device")

    def copy_out(self, pinned, device, nbytes, stream):
        self._called("copy_out")
        self.copied.append("out")
        self._copy(pinned, "pinned", device, None, nbytes, stream, "a copy to the host")

    def _copy(self, target, target_kind, source, source_kind, nbytes, stream, what):
        to, of = self._block(target, nbytes, what), self._block(source, nbytes, what)
        if to.kind != target_kind or source_kind not in (None, of.kind):
            raise Misuse(f"{what} goes from {of.kind} to {to.kind}")
        self.work(stream, [(source, nbytes)], [(target, nbytes)], nbytes / _BUS_BYTES_PER_S, what)
        data = (ctypes_bytes(source, nbytes) if of.array is None
                else of.array[source - of.address :][:nbytes])  # fmt: skip
        to.array[target - to.address :][:nbytes] = data

    def work(self, stream, reads, writes, seconds, what):
        """Put something on a stream that reads and writes these ranges."""
        line = self._stream(stream)
        merge(line.clock, self.host)
        line.clock[stream] = line.clock.get(stream, 0) + 1
        for address, nbytes in reads:
            self._touch(line.clock, stream, address, nbytes, False, what)
        for address, nbytes in writes:
            self._touch(line.clock, stream, address, nbytes, True, what)
        line.ready_s = max(line.ready_s, self.clock_s) + seconds

    def _touch(self, clock, stream, address, nbytes, writes, what):
        if not nbytes:
            return
        block = self._block(address, nbytes, what)
        first = address - block.address
        end = first + nbytes
        for other, number, start, stop, wrote, earlier in block.accesses:
            overlaps = start < end and first < stop
            if overlaps and (writes or wrote) and number > clock.get(other, 0):
                raise Misuse(f"{what} does not wait for {earlier} of {block.kind} memory")
        if writes:
            block.written[first:end] = True
        elif not block.written[first:end].all():
            raise Misuse(f"{what} reads {block.kind} memory that nothing wrote")
        block.accesses.append((stream, clock[stream], first, end, writes, what))

    def _block(self, address, nbytes, what):
        for block in self.blocks.values():
            if block.address <= address < block.address + block.nbytes:
                if address + nbytes > block.address + block.nbytes:
                    raise Misuse(f"{what} passes the end of {block.kind} memory")
                return block
        raise Misuse(f"{what} uses memory that is not there")

    # kernels: what a "cubin" holds says how the fake computes it
    def _check_no_capture(self, name):
        if self.noted:
            raise Misuse(f"{name} under capture")

    def load_module(self, cubin):
        self._called("load_module")
        number = next(self.numbers)
        self.modules[number] = fake_kernels.told(cubin)
        return number

    def unload_module(self, module):
        self._called("unload_module")
        del self.modules[module]

    def function(self, module, name):
        self._called("function")
        number = next(self.numbers)
        self.functions[number] = (name, self.modules[module])
        return number

    def launch(self, function, shape, addresses, numbers, stream):
        self._called("launch")
        if shape.grid[0] >= 1 << 31 or shape.grid[1] >= 1 << 16:
            raise CudaFault("launch", 1, "CUDA_ERROR_INVALID_VALUE")
        work = (*self.functions[function], shape, tuple(addresses), tuple(numbers))
        if stream in self.noted:
            self.noted[stream].append(work)
        else:
            self._compute(work, stream)
            self.launches.append("eager")

    def _compute(self, work, stream):
        name, told, shape, addresses, numbers = work
        reads, writes, compute = fake_kernels.KERNELS[name](told, shape, addresses, numbers)
        self.work(stream, reads, writes, 1e-5, f"the kernel {name}")
        compute()

    def begin_capture(self, stream):
        self._called("begin_capture")
        self._stream(stream)
        if self.refuses_capture:
            raise CudaFault("begin_capture", 900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
        self.noted[stream] = []

    def end_capture(self, stream):
        self._called("end_capture")
        number = next(self.numbers)
        self.graphs[number] = self.noted.pop(stream)
        return number

    def launch_graph(self, graph, stream):
        self._called("launch_graph")
        for work in self.graphs[graph]:
            self._compute(work, stream)
        self.launches.append("graph")

    def destroy_graph(self, graph):
        self._called("destroy_graph")
        del self.graphs[graph]

    def mem_info(self):
        self._called("mem_info")
        return self.capacity - self.used, self.capacity

    def now_s(self):
        return self.clock_s

    def pause(self, seconds):
        self.clock_s += seconds

    def close(self):
        self._called("close")
        self.is_closed = True
        left = [block.kind for block in self.blocks.values() if block.kind != "engine"]
        kept = self.streams, self.events, self.modules, self.graphs
        if left or any(kept):
            words = "streams", "events", "modules", "graphs"
            told = ", ".join(f"{word} {[*k]}" for word, k in zip(words, kept, strict=True))
            raise Misuse(f"left behind: memory {left}, {told}")


def ctypes_bytes(address, nbytes):
    import ctypes

    return np.frombuffer(ctypes.string_at(address, nbytes), np.uint8)
