"""A matching stage on the device: the gallery stays there, each batch of queries is two kernels."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_core import Operation, Stage, Support, errors
from deepseek_cuda.driver.api import CudaApi, Launch
from deepseek_cuda.driver.buffers import Pool
from deepseek_cuda.driver.graphs import GraphCache
from deepseek_cuda.driver.tensors import DeviceTensor, Launched
from deepseek_cuda.matching.program import TILE_QUERIES, TILE_ROWS, Kernel, Metric

Array = NDArray[Any]
Program = Callable[[Metric, int], Mapping[str, Kernel]]
"""The kernels for a metric and k."""

DOMAIN: Final = "ai.deepseek"
MOST_NEIGHBORS: Final = 16
_METRICS: Final[Mapping[tuple[str, str], Metric]] = {
    ("MatchL2", "float32"): "l2_f32",
    ("MatchL2", "int8"): "l2_i8",
    ("MatchHamming", "uint8"): "hamming_u8",
}
_MOST_INT8: Final = 32768  # 255^2 times as many fit an int32
_IDLE_BYTES: Final = 64 << 20


def metric_of(operation: Operation) -> Metric | None:
    """The metric of an operation; None if it is no matching of ours."""
    if operation.domain != DOMAIN or len(operation.inputs) != 3:
        return None
    return _METRICS.get((operation.name, operation.inputs[0].dtype))


def supports(operation: Operation) -> Support:
    """Whether there is a kernel, and the compiler that it needs."""
    from importlib.util import find_spec

    if metric_of(operation) is None:
        return Support.no(
            f"no matcher for {operation.inputs[0].dtype if operation.inputs else '?'}"
        )
    if find_spec("triton") is None:
        return Support.no("its matcher is compiled with Triton, which is not installed")
    return Support.yes()


@attrs.frozen(kw_only=True)
class Matching:
    """What a matching stage asks for; N rows of W elements, k neighbors."""

    metric: Metric
    query: str
    gallery: str
    outputs: tuple[str, str]
    rows: int
    width: int
    k: int

    @property
    def is_exact(self) -> bool:
        """Whether distances are int32."""
        return self.metric != "l2_f32"

    @property
    def tiles(self) -> int:
        """Tiles of the gallery."""
        return -(-self.rows // TILE_ROWS)


def matching_of(stage: Stage, device_id: str) -> Matching:
    """Read a stage of one matching whose gallery and k are constants.

    Raises:
        Unsupported: it is another one, or k is above 16.
        TensorMismatch: gallery or k do not fit.
    """
    operation = stage.operations[0]
    metric = metric_of(operation)
    query, gallery, k = (spec.name for spec in operation.inputs)
    if metric is None or len(stage.operations) > 1 or not {gallery, k} <= stage.constants.keys():
        raise errors.Unsupported(
            f"{device_id} runs one matching a stage, with constants for gallery and k",
            device_id=device_id,
            remedy=f"--constant {gallery}=FILE, or match on another device",
        )
    rows, count = stage.constants[gallery], stage.constants[k]
    if rows.ndim != 2 or count.size != 1 or not 1 <= int(count.reshape(-1)[0]) <= len(rows):
        raise errors.TensorMismatch(
            f"gallery {list(rows.shape)} and k {list(count.shape)} do not fit",
            remedy="a gallery has two axes and at least k rows; k is one number, 1 or more",
        )
    neighbors = int(count.reshape(-1)[0])
    if neighbors > MOST_NEIGHBORS or (metric == "l2_i8" and rows.shape[1] > _MOST_INT8):
        raise errors.Unsupported(
            f"{device_id} finds at most {MOST_NEIGHBORS} neighbors, among int8 rows of at most "
            f"{_MOST_INT8:,} elements",
            device_id=device_id,
        )
    width = rows.shape[1]
    if metric == "hamming_u8" and width % 4 == 0:
        metric, width = "hamming_u32", width // 4
    indices, distances = (spec.name for spec in operation.outputs)
    return Matching(
        metric=metric,
        query=query,
        gallery=gallery,
        outputs=(indices, distances),
        rows=len(rows),
        width=width,
        k=neighbors,
    )


class MatchEngine:
    """Kernels, scratch memory and graphs of one matching on one stream."""

    is_built = False

    def __init__(self, api: CudaApi, stream: int, matching: Matching, program: Program) -> None:
        self._api, self._stream, self._asked = api, stream, matching
        kernels = program(matching.metric, matching.k)
        self._modules = {name: api.load_module(kernel.cubin) for name, kernel in kernels.items()}
        self._kernels = {
            name: (api.function(self._modules[name], kernel.name), kernel)
            for name, kernel in kernels.items()
        }
        self._pool = Pool(api.alloc, api.free, _IDLE_BYTES)
        self._graphs = GraphCache(api, stream)

    def placed(self, constants: Mapping[str, Array]) -> Mapping[str, Array]:
        """The gallery turned, [W, N], so that neighbors in memory are neighbors of a warp."""
        gallery = np.ascontiguousarray(constants[self._asked.gallery])
        if self._asked.metric == "hamming_u32":
            gallery = gallery.view(np.uint32)
        return {self._asked.gallery: np.ascontiguousarray(gallery.T)}

    def launch(self, inputs: Mapping[str, DeviceTensor]) -> Launched:
        """Enqueue both kernels.

        Raises:
            CudaFault: the driver refused.
        """
        asked, query = self._asked, inputs[self._asked.query]
        batch = query.shape[0]
        shape, candidates = (batch, asked.k), asked.tiles * asked.k
        sizes = 8 * batch * candidates, 8 * batch * asked.k, 4 * batch * asked.k
        blocks = self._taken(sizes)
        keys, indices, distances = blocks
        gallery = inputs[asked.gallery].address

        def enqueue() -> None:
            grid = -(-batch // TILE_QUERIES) * asked.tiles, 1
            numbers = batch, asked.rows, asked.width, asked.tiles
            self._put("match_tile", grid, (query.address, gallery, keys), numbers)
            self._put("match_merge", (batch, 1), (keys, indices, distances), (candidates,))

        if batch:
            self._graphs.run((query.address, gallery, batch, *blocks), enqueue)
        distance = np.dtype(np.int32 if asked.is_exact else np.float32)
        made = (DeviceTensor(indices, np.dtype(np.int64), shape),
                DeviceTensor(distances, distance, shape))  # fmt: skip
        launched = Launched(dict(zip(asked.outputs, made, strict=True)), keep=None)
        weakref.finalize(launched, self._give, blocks).atexit = False
        return launched

    def _put(
        self,
        name: str,
        grid: tuple[int, int],
        addresses: tuple[int, ...],
        numbers: tuple[int, ...],
    ) -> None:
        function, kernel = self._kernels[name]
        shape = Launch(grid, kernel.threads, kernel.shared_bytes)
        self._api.launch(function, shape, addresses, numbers, self._stream)

    def _taken(self, sizes: tuple[int, ...]) -> list[int]:
        blocks: list[int] = []
        try:
            for nbytes in sizes:
                blocks.append(self._pool.take(nbytes))
        except BaseException:
            self._give(blocks)
            raise
        return blocks

    def _give(self, blocks: list[int]) -> None:
        for block in blocks:
            self._pool.give(block)

    def release(self) -> None:
        """Free scratch memory, and the graphs that write to it."""
        self._graphs.close()
        self._pool.release()

    def close(self) -> None:
        """Free all; nothing of it is on its way."""
        self.release()
        for module in self._modules.values():
            self._api.unload_module(module)
