"""What a rank has not sent yet, and its momentum: numpy alone, no network.

The legend of the vectors, all float32 [N] and in units of the parameters, learning rate included:

    u  the update of this step, learning rate x gradient
    v  velocity: momentum x v + u
    r  residual: what was kept back; v is added, what is sent is taken away
    l  what I, as the owner of a slice, kept back of its sum; zero outside of my slice

The velocity is set to zero where something was sent, so that what waited does not count twice. The
residual has the learning rate inside, so that a lower rate later does not shrink what waits.

Source: Lin et al., "Deep Gradient Compression" (ICLR 2018), for momentum correction and masking.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deepseek_parallel.codec import packet
from deepseek_parallel.codec.packet import Sparse
from deepseek_parallel.codec.select import Vector, largest, num_kept
from deepseek_parallel.exchange import Layout


class Feedback:
    """The vectors of one rank. A step is `offer`, `own`, `finish`; only the last changes them."""

    def __init__(self, layout: Layout, rank: int, momentum: float) -> None:
        self.layout, self.rank, self.momentum = layout, rank, momentum
        self.velocity, self.residual, self.left = (_zeros(layout.length) for _ in range(3))
        self._velocity, self._residual = (_zeros(layout.length) for _ in range(2))  # after the step
        self._left = _zeros(0)
        self._sent: list[tuple[slice, Sparse]] = []

    def offer(self, update: Vector) -> list[bytes]:
        """The packet for each owner; `update` is u. One that is not finite makes packets say so."""
        np.multiply(self.velocity, self.momentum, out=self._velocity)
        with np.errstate(over="ignore", invalid="ignore"):
            self._velocity += update
            np.add(self.residual, self._velocity, out=self._residual)
        bad = _first_bad(self._residual)
        if bad is not None:
            return [packet.encode_bad(bad)] * self.layout.ranks
        packets, self._sent = [], []
        for owner in range(self.layout.ranks):
            part = slice(*self.layout.bounds(owner))
            data, sent = self._packed(self._residual[part], self.layout.ratio)
            packets.append(data)
            self._sent.append((part, sent))
        return packets

    def own(self, offered: Sequence[Sparse]) -> bytes:
        """The packet of my slice's sum, for everybody; `offered` is what each rank kept of it."""
        part = slice(*self.layout.bounds(self.rank))
        self._left = self.left[part].copy()
        with np.errstate(over="ignore"):
            for one in offered:
                self._left[one.places] += one.values / np.float32(self.layout.ranks)
        bad = _first_bad(self._left)
        if bad is not None:
            return packet.encode_bad(part.start + bad)
        data, sent = self._packed(self._left, self.layout.ratio_of_sum)
        self._left[sent.places] -= sent.values
        return data

    def finish(self, sums: Sequence[Sparse]) -> Vector:
        """The change that all ranks take away from their parameters; `sums` has all slices."""
        for part, sent in self._sent:
            self._residual[part][sent.places] -= sent.values
            self._velocity[part][sent.places] = 0
        self.velocity[:], self.residual[:] = self._velocity, self._residual
        self.left[slice(*self.layout.bounds(self.rank))] = self._left
        change = _zeros(self.layout.length)
        for owner, one in enumerate(sums):
            change[slice(*self.layout.bounds(owner))][one.places] = one.values
        return change

    def _packed(self, values: Vector, ratio: float) -> tuple[bytes, Sparse]:
        """The largest of a slice as a packet, and what its receiver will read in it."""
        places = largest(values, num_kept(len(values), ratio))
        room = self.layout.room_nbytes(ratio)
        data = packet.encode_within(places, values[places], len(values), room)
        return data, packet.decode(data, len(values))


def _first_bad(values: Vector) -> int | None:
    """Where the first value is that is not finite."""
    is_fine = np.isfinite(values)
    return None if is_fine.all() else int(np.argmin(is_fine))


def _zeros(length: int) -> Vector:
    return np.zeros(length, np.float32)
