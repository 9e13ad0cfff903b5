"""What a rule is, and the case that it looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import attrs

from deepseek_observe.advise.advice import Kind
from deepseek_observe.advise.topology.record import Topology

_NODES = ("SLURM_NNODES", "SLURM_JOB_NUM_NODES", "NNODES", "PET_NNODES", "GROUP_WORLD_SIZE")
_WORLDS = (
    ("WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"),
)
_LOCAL = ("LOCAL_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "SLURM_NTASKS_PER_NODE")


@attrs.frozen(kw_only=True)
class Case:
    """An environment, and what is known of the machine; None where nothing is.

    `absent` are variables that name a file which is not there.
    """

    env: Mapping[str, str]
    topology: Topology | None = None
    interfaces: tuple[str, ...] | None = None
    twice: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)
    absent: frozenset[str] = frozenset()

    def low(self, name: str) -> str:
        """A value in lower case; empty where it is not set."""
        return self.env.get(name, "").strip().lower()

    def is_on(self, name: str) -> bool:
        """Whether a switch is set to something that counts as yes."""
        return self.low(name) not in ("", "0", "false", "no", "off", "n")

    @property
    def many_machines(self) -> bool | None:
        """Whether the run is on more than one machine; None where nothing says it."""
        for name in _NODES:
            if self.low(name).isdecimal():
                return int(self.low(name)) > 1
        for world, local in _WORLDS:
            if self.low(world).isdecimal() and self.low(local).isdecimal():
                return int(self.low(world)) > int(self.low(local))
        return None

    @property
    def ranks_here(self) -> int | None:
        """Ranks on this machine: told, or one for each GPU."""
        for name in _LOCAL:
            if self.low(name).isdecimal():
                return int(self.low(name))
        return len(self.topology.gpus) or None if self.topology else None

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of the adapters, if the names of all are known."""
        nics = self.topology.nics if self.topology else ()
        names = tuple(nic.device for nic in nics if nic.device is not None)
        return names if len(names) == len(nics) else ()


@attrs.frozen(kw_only=True)
class Hit:
    """What a rule has to say: of which `variable`, what and why, and lines to paste."""

    variable: str
    what: str
    why: str
    paste: tuple[str, ...] = ()
    source: str | None = None


@attrs.frozen(kw_only=True)
class Rule:
    """`check` yields nothing where the case keeps the rule."""

    name: str
    kind: Kind
    source: str
    check: Callable[[Case], Iterable[Hit]]
