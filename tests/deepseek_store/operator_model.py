"""What an operator's store may answer for each key: its states since the last that must hold."""

from __future__ import annotations

import attrs

State = int | None
"""The number of an object's payload; None where there is no object."""


@attrs.define
class Life:
    """All states that a key was in, in order, and the oldest that it may still be read in.

    `tiered`: the newest state of which a tier has a copy; `mirrored`: of which each mirror has one.
    """

    states: list[State] = attrs.field(factory=lambda: [None])
    floor: int = 0
    tiered: int = 0
    mirrored: int = 0

    def become(self, state: State, *, mirrored: bool) -> None:
        """It was acknowledged: nothing older may be read from here on."""
        self.states.append(state)
        self.floor = len(self.states) - 1
        if mirrored:
            self.mirrored = self.floor

    def roll_back(self, to: int, *, mirror: bool) -> None:
        """The log of some earlier moment came back; newer states live where copies of them are.

        But for a delete: what it hid may be in that log, and no note of it anywhere once that was
        collected.
        """
        kept = max(to, self.tiered, self.mirrored if mirror else 0)
        while kept > to and self.states[kept] is None:
            kept -= 1
        self.floor = min(self.floor, kept)

    @property
    def allowed(self) -> set[State]:
        """What may be read now."""
        return set(self.states[self.floor :])

    def settle(self, found: State) -> None:
        """It was read: the same or something newer must be read from here on."""
        self.floor = next(
            at for at in range(self.floor, len(self.states)) if self.states[at] == found
        )


@attrs.frozen
class Model:
    """The lives of all keys, by key."""

    lives: dict[str, Life] = attrs.field(factory=dict)

    def of(self, key: str) -> Life:
        return self.lives.setdefault(key, Life())

    def moment(self) -> dict[str, int]:
        """The states of this moment, to roll back to."""
        return {key: life.floor for key, life in self.lives.items()}

    def roll_back(self, moment: dict[str, int], *, mirror: bool) -> None:
        for key, life in self.lives.items():
            life.roll_back(moment.get(key, 0), mirror=mirror)
