"""Channel classes: which elements of activations and parameters go together.

An id names one channel of one tensor; ids that must be removed together are tied into one class
(union-find). Id 1 stands for what has a size of its own: inputs, outputs, constants.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

FIXED = 1
_GROW = 4096


class Mismatch(Exception):
    """Two ids that a certified plan needs equal are not; the tracer names where."""


class Classes:
    """Union-find over ids, with classes that may not go and the reasons why.

    Fields: `parent` of each id, `strong` for ids of a layer's outputs, `pinned` for roots that
    stay, `reasons` as (ids, text), `merges`, how often ids were tied, and `frozen`, after which a
    tie is a check.
    """

    def __init__(self) -> None:
        self.parent = torch.arange(_GROW)
        self.strong = torch.zeros(_GROW, dtype=torch.bool)
        self.pinned = torch.zeros(_GROW, dtype=torch.bool)
        self.pinned[FIXED] = True
        self.reasons: list[tuple[Tensor, str]] = []
        self.frozen = False
        self.count = FIXED + 1
        self.merges = 0

    def fresh(self, count: int, *, strong: bool) -> Tensor:
        """Ids that nobody has; `strong` if a layer of the model makes these channels."""
        if self.frozen:
            raise Mismatch("a channel that the first run did not have")
        start, self.count = self.count, self.count + count
        if self.count > len(self.parent):
            self._grow(self.count)
        self.strong[start : self.count] = strong
        return torch.arange(start, self.count)

    def _grow(self, needed: int) -> None:
        old, more = len(self.parent), max(needed, 2 * len(self.parent)) - len(self.parent)
        self.parent = torch.cat([self.parent, torch.arange(old, old + more)])
        self.strong = torch.cat([self.strong, torch.zeros(more, dtype=torch.bool)])
        self.pinned = torch.cat([self.pinned, torch.zeros(more, dtype=torch.bool)])

    def roots(self, ids: Tensor) -> Tensor:
        """The least id of each one's class."""
        found = self.parent[ids]
        while True:
            further = self.parent[found]
            if torch.equal(further, found):
                return found
            found = further

    def tie(self, a: Tensor, b: Tensor, why: Callable[[], str]) -> None:
        """Make the ids of `a` and `b`, that broadcast, one class each; a check once frozen."""
        a, b = torch.broadcast_tensors(self.roots(a), self.roots(b))
        differ = a != b
        if not differ.any():
            return
        a, b = a[differ], b[differ]
        fixed = (a == FIXED) | (b == FIXED)
        self.pin(torch.maximum(a[fixed], b[fixed]), why)
        if self.frozen and not fixed.all():
            raise Mismatch("channels meet that were apart before")
        self._merge(a[~fixed], b[~fixed])

    def _merge(self, a: Tensor, b: Tensor) -> None:
        self.merges += a.numel()
        while a.numel():
            low, high = torch.minimum(a, b), torch.maximum(a, b)
            self.parent.scatter_reduce_(0, high, low, "amin")
            self.strong[low] |= self.strong[high]
            a, b = self.roots(low), self.roots(high)
            self.strong[a] |= self.strong[low] | self.strong[high]
            differ = a != b
            a, b = a[differ], b[differ]

    def pin(self, ids: Tensor, why: Callable[[], str]) -> None:
        """Keep the classes of `ids`, for a reason that people are told."""
        ids = torch.unique(self.roots(ids))
        ids = ids[ids != FIXED]
        if self.frozen:
            if not self.pinned[ids].all():
                raise Mismatch("a channel is used as one of a fixed size")
            return
        if ids.numel():
            self.reasons.append((ids, why()))

    def freeze(self) -> None:
        """Settle: flat parents, pins on roots; from now on only checks."""
        every = torch.arange(self.count)
        flat = self.roots(every)
        self.parent[: self.count] = flat
        strong = torch.zeros_like(self.strong)
        strong[flat[self.strong[: self.count]]] = True
        self.strong = strong
        for ids, _ in self.reasons:
            self.pinned[flat[ids]] = True
        self.frozen = True

    def pin_frozen(self, ids: Tensor, why: str) -> None:
        """Keep more classes after the first run, say those that a trial could not remove."""
        ids = torch.unique(self.roots(ids))
        self.reasons.append((ids, why))
        self.pinned[ids] = True

    def prunable(self, ids: Tensor) -> Tensor:
        """Which of the ids belong to classes that may go."""
        roots = self.roots(ids)
        return self.strong[roots] & ~self.pinned[roots]

    def prunable_later(self, ids: Tensor) -> Tensor:
        """Which ids belong to a layer's outputs, before pins are settled."""
        return self.strong[self.roots(ids)]

    def reason(self, ids: Tensor) -> str:
        """Why any of the ids stays; the first reason that was found."""
        roots = self.roots(ids)
        for pinned, why in self.reasons:
            if torch.isin(self.roots(pinned), roots).any():
                return why
        return ""


def collapse(ids: Tensor) -> Tensor:
    """`ids` with each axis along which they do not vary cut to size 1."""
    for axis in range(ids.dim()):
        if ids.shape[axis] > 1:
            first = ids.narrow(axis, 0, 1)
            if bool((ids == first).all()):
                ids = first
    return ids


def varying(ids: Tensor) -> list[int]:
    """Axes along which collapsed ids vary."""
    return [axis for axis, extent in enumerate(ids.shape) if extent > 1]
