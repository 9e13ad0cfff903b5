"""Bytes that an exchange moves over the bus or the network, from what NCCL's kernels say of it.

`busbw` of nccl-tests is these bytes over the time: of n ranks, an all-reduce of S bytes has each
send 2 S (n - 1) / n, so that the figure can be held against that of the link whatever n is
(PERFORMANCE.md of nccl-tests).
"""

from __future__ import annotations

from typing import Final

_NBYTES: Final = {
    "double": 8, "long": 8, "float": 4, "int": 4, "half": 2, "bfloat16": 2, "short": 2, "byte": 1,
    "char": 1, "bool": 1, "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip
_SHARED: Final = ("allgather", "reducescatter", "alltoall")  # each rank has a part already


def bus_nbytes(collective: str, dtype: str, numbers: int, ranks: int) -> int:
    """Bytes of `numbers` numbers, the larger of what comes in and goes out; -1 where unknown."""
    size = _NBYTES.get(dtype.lower())
    if size is None or numbers < 0 or ranks < 1:
        return -1
    name = collective.lower().replace("_", "")
    whole = size * numbers
    if name.startswith("allreduce"):
        return 2 * whole * (ranks - 1) // ranks
    if any(part in name for part in _SHARED):
        return whole * (ranks - 1) // ranks
    return whole
