"""The rule of a parameter server: which batch a worker gets, and when. Pure.

A gradient of weights that have since been stepped is old by as many steps. The rule lets nobody
begin through whom a gradient could come to be older than `bound`: bounded delay, as in Li et al.,
"Scaling distributed machine learning with the parameter server" (OSDI 2014). With a bound of 0 it
is synchronous. A step of as many gradients as there are workers, whoever gives them, keeps the
batch of a synchronous step, and its momentum: Zhang et al., "Staleness-aware async-SGD" (IJCAI
2016), call it 1-softsync.
"""

from __future__ import annotations

import attrs


@attrs.frozen
class Given:
    """A batch that a worker computes, and the version of the weights that it does so with."""

    batch: int
    version: int


@attrs.define
class Batches:
    """Numbers of batches, each of which counts once; `per_step` gradients make a step.

    `version` steps of `steps` have been taken.
    """

    steps: int
    bound: int
    per_step: int = 1
    version: int = 0
    given: dict[int, Given] = attrs.field(factory=dict)  # by worker
    seen: list[int] = attrs.field(factory=list)  # staleness of each gradient
    collected: int = 0  # gradients of the next step
    _next: int = 0
    _returned: list[int] = attrs.field(factory=list)  # of workers that were lost

    def __attrs_post_init__(self) -> None:
        self._next = self.version * self.per_step

    @property
    def is_over(self) -> bool:
        """Whether all steps were taken."""
        return self.version >= self.steps

    def begin(self, worker: int) -> Given | None:
        """What a worker computes next; None while it must wait, or there is nothing left."""
        oldest = min((one.version for one in self.given.values()), default=self.version)
        # All who compute, and this worker, may come before the oldest one.
        could_be = self.version + (self.collected + len(self.given)) // self.per_step
        if could_be - oldest > self.bound:
            return None
        if self._returned:
            number = self._returned.pop()
        elif self._next < self.steps * self.per_step:
            number, self._next = self._next, self._next + 1
        else:
            return None
        self.given[worker] = Given(number, self.version)
        return self.given[worker]

    def take(self, worker: int) -> bool:
        """Count the gradient of a worker; whether a step is due with those that came before."""
        self.seen.append(self.version - self.given.pop(worker).version)
        self.collected += 1
        if self.collected < self.per_step:
            return False
        self.collected = 0
        self.version += 1
        return True

    def lose(self, worker: int) -> None:
        """Let another one compute what a worker had."""
        given = self.given.pop(worker, None)
        if given is not None:
            self._returned.append(given.batch)
