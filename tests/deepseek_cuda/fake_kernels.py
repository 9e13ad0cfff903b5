"""The matcher's two kernels as the fake driver computes them: numpy on the bytes of a "device".

Each gives the ranges that it reads, those that it writes, and what computes; from the arguments
of a launch alone, as the compiled kernels get them.
"""

import ctypes
import json

import numpy as np

from deepseek_cuda.matching.program import TILE_QUERIES, TILE_ROWS, Kernel

DTYPES = {"l2_f32": np.float32, "l2_i8": np.int8, "hamming_u32": np.uint32, "hamming_u8": np.uint8}


def program(metric, k):
    """What `matching.program` gives, without a compiler."""
    cubin = json.dumps({"metric": metric, "k": k}).encode()
    return {
        name: Kernel(cubin=cubin, name=name, threads=128, shared_bytes=0)
        for name in ("match_tile", "match_merge")
    }


def told(cubin):
    return json.loads(cubin)


def view(address, dtype, *shape):
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = (ctypes.c_ubyte * nbytes).from_address(address)
    return np.frombuffer(memory, dtype).reshape(shape)


def tile(asked, shape, addresses, numbers):
    queries, gallery, keys = addresses
    b, n, w, tiles = numbers
    k, dtype = asked["k"], np.dtype(DTYPES[asked["metric"]])
    assert tiles == -(-n // TILE_ROWS)
    assert shape.grid == (-(-b // TILE_QUERIES) * tiles, 1)
    reads = [(queries, b * w * dtype.itemsize), (gallery, n * w * dtype.itemsize)]

    def compute():
        q, g = view(queries, dtype, b, w), view(gallery, dtype, w, n).T
        if asked["metric"].startswith("hamming"):
            differing = np.ascontiguousarray(q[:, None] ^ g[None]).view(np.uint8)
            bits = np.unpackbits(differing, axis=2).sum(2, dtype=np.int32)
        elif dtype == np.int8:
            bits = ((q[:, None].astype(np.int32) - g[None]) ** 2).sum(2, dtype=np.int32)
        else:
            bits = ((q[:, None] - g[None]) ** 2).sum(2, dtype=np.float32).view(np.int32)
        found = np.full((b, tiles * TILE_ROWS), np.iinfo(np.int64).max)
        found[:, :n] = (bits.astype(np.int64) << 32) | np.arange(n)
        made = np.sort(found.reshape(b, tiles, TILE_ROWS), axis=2)[:, :, :k]
        view(keys, np.int64, b, tiles, k)[...] = made

    return reads, [(keys, 8 * b * tiles * k)], compute


def merge(asked, shape, addresses, numbers):
    keys, indices, distances = addresses
    (candidates,) = numbers
    (b, _), k = shape.grid, asked["k"]

    def compute():
        made = np.sort(view(keys, np.int64, b, candidates), axis=1)[:, :k]
        view(indices, np.int64, b, k)[...] = made & 0xFFFFFFFF
        view(distances, np.int32, b, k)[...] = made >> 32

    return [(keys, 8 * b * candidates)], [(indices, 8 * b * k), (distances, 4 * b * k)], compute


KERNELS = {"match_tile": tile, "match_merge": merge}
