"""What a change of the membership came to."""

from __future__ import annotations

import attrs


@attrs.frozen
class Renewed:
    """A new membership, by the new numbers of its ranks.

    `survivors` were members before and hold a state, `joined` need one.
    """

    rank: int
    size: int
    survivors: tuple[int, ...]
    joined: tuple[int, ...]
