"""What the trainer knows of the ranks that train together, and ranks that never change."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

import attrs

from deepseek_core import errors
from deepseek_parallel.errors import RankLost

if TYPE_CHECKING:
    import torch.distributed as dist

LIMIT_S: Final = 300.0
"""How long a rank waits for another one in a step, unless it is told."""
_VARIABLES: Final = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@attrs.frozen
class Renewed:
    """A new membership, by the new numbers of its ranks.

    `survivors` were members before and hold a state, `joined` need one.
    """

    rank: int
    size: int
    survivors: tuple[int, ...]
    joined: tuple[int, ...]


class Ranks(Protocol):
    """The ranks of a training, this one among them. `epoch` counts memberships.

    `group` is None where a rank is alone.
    """

    @property
    def rank(self) -> int:
        """The number of this rank."""
        ...

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    @property
    def epoch(self) -> int:
        """How often the membership has changed."""
        ...

    @property
    def group(self) -> dist.ProcessGroup | None:
        """What they exchange by."""
        ...

    def changed(self) -> bool:
        """Whether one waits to join or leave: the same answer on all, between two steps."""
        ...

    def renew(self) -> Renewed:
        """Agree on who is there, after `RankLost` or when `changed()`.

        Raises:
            RankLost: too few are left, or nobody answers in time.
        """
        ...

    def leave(self) -> None:
        """Be a member no more."""
        ...


class StaticRanks:
    """The ranks that torchrun started, or a process alone: a lost one ends the training."""

    epoch = 0

    def __init__(self, rank: int, size: int, group: dist.ProcessGroup | None) -> None:
        self.rank, self.size, self.group = rank, size, group

    @classmethod
    def found(cls, limit_s: float = LIMIT_S) -> StaticRanks:
        """Find the ranks: of the process group, else of torchrun's variables, else one.

        `limit_s` is how long a rank waits for another one; a process group that there is keeps its
        own.

        Raises:
            ConfigError: some of torchrun's variables are missing, or are no numbers.
            RankLost: the others do not come.
        """
        import torch.distributed as dist

        if not dist.is_initialized():
            given = [name for name in _VARIABLES if os.environ.get(name)]
            if not {"RANK", "WORLD_SIZE"} & set(given):
                return cls(0, 1, None)
            _check(given)
            _begin(limit_s)
        return cls(dist.get_rank(), dist.get_world_size(), dist.group.WORLD)

    def changed(self) -> bool:
        """Never."""
        return False

    def renew(self) -> Renewed:
        """Refuse: nobody takes the place of one that is lost.

        Raises:
            RankLost: always.
        """
        raise RankLost(
            "a rank is lost, and these ranks can't be renewed",
            remedy="go on from a checkpoint; with --elastic MIN:MAX the others train on",
        )

    def leave(self) -> None:
        """End the process group."""
        if self.group is not None:
            _end()
        self.group = None


def _check(given: list[str]) -> None:
    missing = [name for name in _VARIABLES if name not in given]
    if missing:
        raise errors.ConfigError(
            f"{', '.join(given)} are set, and {', '.join(missing)} are not",
            remedy="start the script by torchrun, or unset them: unset RANK WORLD_SIZE",
        )
    for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
        if not os.environ[name].isdecimal():
            raise errors.ConfigError(
                f"{name} is {os.environ[name]!r}, which is no whole number",
                remedy="start the script by torchrun, which sets it",
            )


def _begin(limit_s: float) -> None:
    import torch.distributed as dist

    try:
        dist.init_process_group(timeout=timedelta(seconds=limit_s))
    except (RuntimeError, ValueError) as error:
        raise RankLost(
            f"the ranks did not meet at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: "
            f"{str(error).splitlines()[0]}",
            remedy="see whether all of them were started, with one address and port",
        ) from error


def _end() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()
