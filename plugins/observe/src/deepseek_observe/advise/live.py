"""This machine: what its tools say, and what could not be seen."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from deepseek_core import errors
from deepseek_observe.advise.environment.reading import Environment, parse_environment
from deepseek_observe.advise.topology.opening import parse_topology, read_text
from deepseek_observe.advise.topology.record import Topology

_LIMIT_S: Final = 20.0
_TOOLS: Final = (
    (("nvidia-smi", "topo", "-m"), "GPUs and adapters"),
    (("lstopo-no-graphics", "--of", "xml", "--whole-io"), "PCIe switches and adapters"),
    (("lscpu", "-J"), "processors"),
)
_FILES: Final = ("NCCL_TOPO_FILE", "NCCL_GRAPH_FILE", "NCCL_CONF_FILE")
_SYSTEM: Final = Path("/etc/nccl.conf")
_MOST_NBYTES: Final = 1 << 20
_NETWORKS: Final = Path("/sys/class/net")


@attrs.frozen(kw_only=True)
class Machine:
    """What was seen of this machine; `unseen` says what was not, and why.

    The environment has what NCCL's configuration files set beside it, which it overrides. `absent`
    are variables that name a file which is not there.
    """

    topologies: tuple[Topology, ...]
    interfaces: tuple[str, ...] | None
    environment: Environment
    unseen: tuple[str, ...]
    absent: frozenset[str] = frozenset()


def look(environment: Mapping[str, str] | None = None) -> Machine:
    """Ask the tools that are here; none of them changes anything."""
    found, unseen = [], []
    for command, what in _TOOLS:
        try:
            found.append(_asked(command))
        except errors.DeepSeekError as error:
            unseen.append(f"{what}: {error.message}")
    own = dict(os.environ if environment is None else environment)
    values = _configured(own) | own
    return Machine(
        topologies=tuple(found),
        interfaces=_interfaces(),
        environment=Environment(source="this process", values=values),
        unseen=tuple(unseen),
        absent=frozenset(
            name for name in _FILES if values.get(name) and not Path(values[name]).is_file()
        ),
    )


def _configured(environment: Mapping[str, str]) -> dict[str, str]:
    """What NCCL reads out of files: its user's, and where that is silent the system's."""
    own = environment.get("NCCL_CONF_FILE") or str(Path.home() / ".nccl.conf")
    found: dict[str, str] = {}
    for path in (_SYSTEM, Path(own)):
        try:
            found |= parse_environment(read_text(path, _MOST_NBYTES), str(path)).values
        except errors.ArtifactError:
            continue  # not there, or empty
    return found


def _asked(command: tuple[str, ...]) -> Topology:
    name = command[0]
    if shutil.which(name) is None:
        raise errors.ConfigError(f"{name} is not installed")
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, check=False,
            errors="replace", env={**os.environ, "LC_ALL": "C"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise errors.ConfigError(f"{name} did not answer: {error}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise errors.ConfigError(f"{name} failed: {lines[0] if lines else done.returncode}")
    return parse_topology(done.stdout, name)


def _interfaces() -> tuple[str, ...] | None:
    try:
        return tuple(sorted(path.name for path in _NETWORKS.iterdir()))
    except OSError:
        return None
