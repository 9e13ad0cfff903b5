"""Memory that is kept and used again: on the device, and pinned on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from deepseek_cuda.driver.api import CudaApi

_SMALLEST: Final = 4096
# A block that is much larger than asked for would keep memory that nobody uses.
_MOST_WASTE: Final = 4


class Buffer:
    """One block of memory that grows: what was in it before is gone then.

    Whoever asks for more must know that nothing on the GPU uses the old block any more.
    """

    def __init__(self, alloc: Callable[[int], int], free: Callable[[int], None]) -> None:
        self._alloc, self._free = alloc, free
        self._address = self._nbytes = 0

    def of(self, nbytes: int) -> int:
        """The address of at least so many bytes."""
        wanted = rounded(nbytes)
        if not wanted <= self._nbytes <= _MOST_WASTE * wanted:
            self.release()
            self._address = self._alloc(wanted)
            self._nbytes = wanted
        return self._address

    def release(self) -> None:
        """Give the block back; may be called twice."""
        if self._nbytes:
            self._nbytes = 0
            self._free(self._address)


class Pool:
    """Blocks by size, kept for the next user; it holds `limit_bytes` of idle ones at most."""

    def __init__(
        self, alloc: Callable[[int], int], free: Callable[[int], None], limit_bytes: int
    ) -> None:
        self._alloc, self._free, self._limit = alloc, free, limit_bytes
        self._idle: dict[int, list[int]] = {}
        self._sizes: dict[int, int] = {}
        self._idle_bytes = 0

    def take(self, nbytes: int) -> int:
        """The address of a block of at least so many bytes, which is the caller's until `give`."""
        size = rounded(nbytes)
        kept = self._idle.get(size)
        if kept:
            self._idle_bytes -= size
            return kept.pop()
        address = self._alloc(size)
        self._sizes[address] = size
        return address

    def give(self, address: int) -> None:
        """Take a block back that nothing on the GPU uses any more."""
        size = self._sizes[address]
        if self._idle_bytes + size > self._limit:
            del self._sizes[address]
            self._free(address)
            return
        self._idle_bytes += size
        self._idle.setdefault(size, []).append(address)

    def release(self) -> None:
        """Free the idle blocks."""
        for kept in self._idle.values():
            while kept:
                address = kept.pop()
                self._idle_bytes -= self._sizes.pop(address)
                self._free(address)


def rounded(nbytes: int) -> int:
    """A size at most an eighth larger, so that sizes that change a little find the same block."""
    step = max(_SMALLEST, 1 << max(0, nbytes.bit_length() - 4))
    return max(1, -(-nbytes // step)) * step


def pinned_pool(api: CudaApi, limit_bytes: int) -> Pool:
    """Memory that the device copies from and to.

    Pinning takes milliseconds, and what is pinned is lost to every other process.
    """
    return Pool(api.alloc_pinned, api.free_pinned, limit_bytes)
