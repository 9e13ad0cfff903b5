"""The sum of sparse gradients over all ranks, in two phases and in as many bytes at any number.

Each rank owns one slice of the vector. (1) Everybody sends each owner what was kept of its slice.
(2) The owner adds up, keeps the largest of the sum, and sends those to everybody. Packets travel in
slots of a size that all know, so none has to tell its length first.

Sources: Li and Hoefler, "Near-optimal sparse allreduce" (Ok-Topk, PPoPP 2022); Tang et al.,
"DoubleSqueeze" (ICML 2019), for what the owner leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs
import numpy as np
from numpy.typing import NDArray

from deepseek_parallel.codec import packet
from deepseek_parallel.codec.packet import Sparse
from deepseek_parallel.codec.select import num_kept
from deepseek_parallel.lost import waited

_MESSAGE_NBYTES: Final = 530
"""What gloo and TCP add to a message: about six segments, of 90 bytes with their headers.

Counted on a loopback interface with torch 2.13; benchmarks/gradient_bytes.py compares it.
"""


@attrs.frozen(kw_only=True)
class Layout:
    """Slices of a vector of `length` by the rank that owns them, and how much of one is kept.

    `ratio` is the share that a rank keeps of its own gradient, `ratio_of_sum` the share that an
    owner keeps of the sum.
    """

    length: int
    ranks: int
    ratio: float
    ratio_of_sum: float

    def bounds(self, rank: int) -> tuple[int, int]:
        """Where the slice of a rank begins and ends."""
        return self.length * rank // self.ranks, self.length * (rank + 1) // self.ranks

    @property
    def longest(self) -> int:
        """Elements of the longest slice."""
        return -(-self.length // self.ranks)

    def slot_nbytes(self, ratio: float) -> int:
        """Bytes of a slot for what a ratio keeps of a slice."""
        return packet.slot_nbytes(self.longest, num_kept(self.longest, ratio))

    def room_nbytes(self, ratio: float) -> int:
        """Bytes of a packet in such a slot; one whose places are odd leaves its least values."""
        return packet.room_nbytes(self.longest, num_kept(self.longest, ratio))

    @property
    def payload_nbytes(self) -> int:
        """Bytes that one rank sends for one exchange, without headers of the network."""
        slots = self.slot_nbytes(self.ratio) + self.slot_nbytes(self.ratio_of_sum)
        return (self.ranks - 1) * slots

    @property
    def wire_nbytes(self) -> int:
        """Bytes that all ranks put on the network for one exchange, its headers included."""
        messages = 2 * self.ranks * (self.ranks - 1)
        return self.ranks * self.payload_nbytes + messages * _MESSAGE_NBYTES


class Exchange:
    """Sends and adds sparse vectors; `group` is a process group of torch, None the default one."""

    def __init__(self, layout: Layout, group: Any = None) -> None:
        import torch.distributed as dist

        self.layout, self._group = layout, group
        self.rank = dist.get_rank(group)

    def to_owners(self, packets: Sequence[bytes]) -> list[Sparse]:
        """What every rank kept of my slice, by rank; `packets` go to ranks 0, 1, ...

        Raises:
            InputError: a packet that is damaged, or of another model.
            RankLost: a rank does not answer.
        """
        slots = _slots(packets, self.layout.slot_nbytes(self.layout.ratio))
        begin, end = self.layout.bounds(self.rank)
        return [packet.decode(packet.unpadded(s), end - begin) for s in self._swapped(slots)]

    def to_all(self, data: bytes) -> list[Sparse]:
        """What every owner kept of its sum, by rank; `data` is my packet.

        Raises:
            InputError: a packet that is damaged, or of another model.
            RankLost: a rank does not answer.
        """
        slot = _slots([data], self.layout.slot_nbytes(self.layout.ratio_of_sum))
        lengths = (end - begin for begin, end in map(self.layout.bounds, range(self.layout.ranks)))
        return [
            packet.decode(packet.unpadded(s), length)
            for s, length in zip(self._gathered(slot), lengths, strict=True)
        ]

    def _swapped(self, slots: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import torch
        import torch.distributed as dist

        out = np.empty_like(slots)
        given, made = torch.from_numpy(slots), torch.from_numpy(out)
        waited(lambda: dist.all_to_all_single(made, given, group=self._group), self.rank)
        return out

    def _gathered(self, slot: NDArray[np.uint8]) -> NDArray[np.uint8]:
        import torch
        import torch.distributed as dist

        out = np.empty((self.layout.ranks, slot.shape[1]), np.uint8)
        given, made = torch.from_numpy(slot), torch.from_numpy(out)
        gather = getattr(dist, "all_gather_single", dist.all_gather_into_tensor)
        waited(lambda: gather(made, given, group=self._group), self.rank)
        return out


def _slots(packets: Sequence[bytes], nbytes: int) -> NDArray[np.uint8]:
    """uint8 [packets, nbytes], each padded to its slot."""
    joined = b"".join(packet.padded(data, nbytes) for data in packets)
    return np.frombuffer(joined, np.uint8).reshape(len(packets), nbytes).copy()
