"""The kernel of ISA-L, called through ctypes with this package's own matrices.

The shared library is the one that pyeclib's wheel brings, or the system's. Nothing of pyeclib is
imported. ctypes releases the GIL during each call.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import errors
from deepseek_store.codes.field import Matrix
from deepseek_store.codes.kernel import Product, Row

# One block of all inputs together: it stays in the cache between the jobs.
_BLOCKS_NBYTES = 3 << 20
_LEAST_NBYTES = 8 << 10
# ec_init_tables writes at most this much per coefficient.
_TABLE_NBYTES = 32
_SYMBOLS = ("ec_init_tables", "ec_encode_data")


class IsalKernel:
    """Multiplies with the vector code of ISA-L.

    Raises:
        ConfigError: There is no library that has what is needed.
    """

    name = "isal"

    def __init__(self) -> None:
        self.path, self._library = _load()

    def prepare(self, matrix: Matrix) -> Product:
        """The product with this matrix [outputs, inputs], as a function."""
        jobs = [_Job(self._library, matrix, outputs) for outputs in _equal_inputs(matrix)]

        def run(rows: Sequence[Row], nbytes: int) -> list[bytearray]:
            made = [bytearray(nbytes) for _ in range(len(matrix))]
            if nbytes and made:
                _multiply(jobs, rows, [np.frombuffer(out, np.uint8) for out in made])
            return made

        return run


def _load() -> tuple[str, ctypes.CDLL]:
    reasons = []
    for path in _candidates():
        try:
            library = ctypes.CDLL(path)
        except OSError as error:
            reasons.append(f"{path} does not load ({error})")
            continue
        missing = [symbol for symbol in _SYMBOLS if not hasattr(library, symbol)]
        if not missing:
            return path, _typed(library)
        reasons.append(f"{path} has no {' and no '.join(missing)}")
    raise errors.ConfigError(
        "no ISA-L library: " + ("; ".join(reasons) or "pyeclib is not installed"),
        remedy="pip install pyeclib (Linux wheels bring it), or go on with the numpy kernel",
    )


def _candidates() -> Iterator[str]:
    spec = find_spec("pyeclib")
    if spec is not None and spec.origin is not None:
        folder = Path(spec.origin).parents[1] / "pyeclib.libs"
        yield from map(str, sorted(folder.glob("libisal*.so*")))
    yield "libisal.so.2"


def _typed(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.ec_init_tables.argtypes = [number, number, pointer, pointer]
    library.ec_init_tables.restype = None
    library.ec_encode_data.argtypes = [number, number, number, pointer, pointer, pointer]
    library.ec_encode_data.restype = None
    return library


def _address(array: NDArray[np.generic]) -> int:
    return int(array.__array_interface__["data"][0])


def _equal_inputs(matrix: Matrix) -> list[list[int]]:
    """The outputs, grouped by the inputs they need: local rows need their group alone."""
    groups: dict[bytes, list[int]] = {}
    for index, row in enumerate(matrix):
        groups.setdefault((row != 0).tobytes(), []).append(index)
    return list(groups.values())


class _Job:
    """Outputs with the same inputs: one call of ISA-L per block."""

    def __init__(self, library: ctypes.CDLL, matrix: Matrix, outputs: list[int]) -> None:
        self.outputs = np.array(outputs)
        self.inputs = np.flatnonzero(matrix[outputs[0]])
        self._library = library
        self._factors = matrix[outputs][:, self.inputs]  # [output][input] of GF(2^8)
        # the table where all inputs reach into the block
        self._full = self._table(np.arange(len(self.inputs)))

    def run(self, block: _Block) -> None:
        """Code one block; inputs that have ended are left out."""
        live = np.flatnonzero(block.live[self.inputs])
        if not len(live):
            return  # the outputs are zeros from their birth
        table = self._full if len(live) == len(self.inputs) else self._table(live)
        sources = block.sources[self.inputs[live]]
        targets = block.targets[self.outputs]
        self._library.ec_encode_data(
            block.nbytes,
            len(live),
            len(self.outputs),
            _address(table),
            _address(sources),
            _address(targets),
        )

    def _table(self, live: NDArray[np.intp]) -> NDArray[np.uint8]:
        """The tables of some inputs; their layout depends on the processor."""
        factors = np.ascontiguousarray(self._factors[:, live])
        table = np.empty(max(factors.size, 1) * _TABLE_NBYTES, np.uint8)
        outputs, inputs = factors.shape
        if factors.size:
            self._library.ec_init_tables(inputs, outputs, _address(factors), _address(table))
        return table


@attrs.frozen(kw_only=True, eq=False)
class _Block:
    """One range of columns: addresses of all inputs and outputs there."""

    nbytes: int
    live: NDArray[np.bool_]
    sources: NDArray[np.uint64]
    targets: NDArray[np.uint64]


def _multiply(jobs: list[_Job], rows: Sequence[Row], outputs: list[NDArray[np.uint8]]) -> None:
    """Code block after block, so that all jobs find the inputs in the cache."""
    lengths = np.array([row.size for row in rows])
    starts = np.array([_address(row) for row in rows], np.uint64)
    targets = np.array([_address(out) for out in outputs], np.uint64)
    nbytes = outputs[0].size
    step = max(_LEAST_NBYTES, _BLOCKS_NBYTES // max(1, len(rows)) & -4096)
    for start in range(0, nbytes, step):
        width = min(step, nbytes - start)
        sources = starts + np.uint64(start)
        partial = np.flatnonzero((lengths > start) & (lengths < start + width)).tolist()
        padded = np.zeros((len(partial), width), np.uint8)
        for copy, index in zip(padded, partial, strict=True):
            copy[: lengths[index] - start] = rows[index][start:]
            sources[index] = _address(copy)
        block = _Block(
            nbytes=width,
            live=lengths > start,
            sources=sources,
            targets=targets + np.uint64(start),
        )
        for job in jobs:
            job.run(block)
