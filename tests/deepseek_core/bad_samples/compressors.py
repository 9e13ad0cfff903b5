"""A sound compressor (half precision, checked by a checksum), and the others."""

import itertools
import zlib

import numpy as np

from deepseek_core import Compressor, Packed, errors

SERIAL = itertools.count()


class Sound(Compressor):
    """float32 as float16, behind a checksum and the number of arrays packed before."""

    def __init__(self):
        self.state = {"step": 0}

    def refuse(self, array):
        return errors.InputError(f"takes float32, not {array.dtype}")

    def head(self):
        return self.state["step"].to_bytes(4, "little")

    def pack(self, array):
        if array.dtype != np.float32:
            raise self.refuse(array)
        body = self.head() + array.astype(np.float16).tobytes()
        self.state["step"] += 1
        data = zlib.crc32(body).to_bytes(4, "little") + body
        return Packed(data=data, dtype=array.dtype.name, shape=array.shape)

    def check(self, packed):
        body = packed.data[4:]
        if len(packed.data) < 8 or zlib.crc32(body).to_bytes(4, "little") != packed.data[:4]:
            raise errors.InputError("damaged data")

    def unpack(self, packed):
        self.check(packed)
        halves = np.frombuffer(packed.data[8:], np.float16)
        return halves.astype(np.float32).reshape(packed.shape)

    def error_bound(self, array):
        return float(np.abs(array - array.astype(np.float16)).max(initial=0.0))

    def state_dict(self):
        return dict(self.state)

    def load_state_dict(self, state):
        self.state = dict(state)


class Understates(Sound):
    def error_bound(self, array):
        whole = super().error_bound(array)
        return whole / 2 if array.size > 16 else whole


class ClaimsToLoseNothing(Sound):
    """What is wrong stands in its record."""


class Widens(Sound):
    def unpack(self, packed):
        return super().unpack(packed).astype(np.float64)


class NeedsAnElement(Sound):
    def pack(self, array):
        array.max()
        return super().pack(array)


class WorksInPlace(Sound):
    def pack(self, array):
        if array.dtype == np.float32:
            array += 0
        return super().pack(array)


class RaisesTypeErrors(Sound):
    def refuse(self, array):
        return TypeError(array.dtype)


class TrustsItsData(Sound):
    def check(self, packed):
        pass


class ForgetsItsState(Sound):
    def state_dict(self):
        return {"step": 0}


class HandsOutItsState(Sound):
    def state_dict(self):
        return self.state


class Salts(Sound):
    def __init__(self):
        self.state = {"step": 0, "salt": next(SERIAL)}

    def head(self):
        return (self.state["step"] + 1000 * self.state["salt"]).to_bytes(4, "little")


class KeepsTheArray(Sound):
    def __init__(self):
        super().__init__()
        self.arrays = {}

    def pack(self, array):
        packed = super().pack(array)
        self.arrays[packed.data] = array
        return packed

    def unpack(self, packed):
        made = super().unpack(packed)
        return self.arrays.get(packed.data, made).astype(np.float16).astype(np.float32)


class RemembersTheArray(Sound):
    def __init__(self):
        super().__init__()
        self.shapes = {}

    def pack(self, array):
        packed = super().pack(array)
        self.shapes[packed.data] = array.shape
        return packed

    def unpack(self, packed):
        made = super().unpack(packed)
        return made if packed.data in self.shapes else made * 0


class HandsOutItsMemory(Sound):
    memory = None

    def unpack(self, packed):
        made = super().unpack(packed)
        if self.memory is None or self.memory.shape != made.shape:
            self.memory = made
        self.memory[...] = made
        return self.memory


class Overflows(Sound):
    def error_bound(self, array):
        return min(super().error_bound(array), 0.01)


class AddsAnIndex(Sound):
    def pack(self, array):
        packed = super().pack(array)
        if array.size < 50_000:
            return packed
        index = np.arange(array.size, dtype=np.int64).tobytes()
        return Packed(data=packed.data + index, dtype=packed.dtype, shape=packed.shape)
