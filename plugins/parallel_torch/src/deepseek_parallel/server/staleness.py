"""The rule of a parameter server: who may go on, and whose gradient counts. Pure.

Each worker has taken a number of steps, its clock. One that is more than `bound` steps ahead of the
slowest waits (stale-synchronous parallel: Ho et al., "More effective distributed ML via a stale
synchronous parallel parameter server", NIPS 2013).
"""

from __future__ import annotations

import attrs


@attrs.define
class Clocks:
    """Steps of each worker that is there, by its rank."""

    bound: int
    steps: dict[int, int] = attrs.field(factory=dict)

    def join(self, worker: int) -> None:
        """Take a worker in; it begins where the slowest is, so that nobody waits for it."""
        self.steps[worker] = min(self.steps.values(), default=0)

    def leave(self, worker: int) -> None:
        """Wait for it no more."""
        self.steps.pop(worker, None)

    def step(self, worker: int) -> None:
        """Note that a worker has given a gradient."""
        self.steps[worker] += 1

    def may_go_on(self, worker: int) -> bool:
        """Whether a worker is within the bound of the slowest."""
        return self.steps[worker] - min(self.steps.values()) <= self.bound
