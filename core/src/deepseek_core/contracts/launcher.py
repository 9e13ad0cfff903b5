"""Launchers: one command started on the other machines of a cluster, followed and ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Self

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.units import as_names, check_count


@attrs.frozen(kw_only=True)
class LaunchNode:
    """A machine that is up: one that went down and came back has another `id`.

    `address` is the number by which the others reach it, `cpus` how many commands of one CPU it
    may be given at once, and `is_here` says that it is the machine of this process.
    """

    id: str
    name: str
    address: str
    cpus: int = attrs.field(default=1, validator=check_count(0))
    is_here: bool = False


def _inside(_command: object, _field: attrs.Attribute[Any], files: Mapping[str, bytes]) -> None:
    for name in files:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise ConfigError(f"a command's file {name!r} is not below its folder")


@attrs.frozen(kw_only=True)
class Command:
    """What is to run: `arguments` of the node's own Python, as `("-m", "package", "word")`.

    It runs in `folder` where the node has all `files` there with the same content, as on a shared
    disk. Otherwise it runs in a new folder with a copy of them, which goes when it ends. Files are
    named by their path below the folder. `environment` is put over the node's own, and `cpus` are
    reserved for it. It is not started where a file in `needs`, by its whole path, is not there with
    that content: so a folder that must be shared is proven to be.
    """

    arguments: tuple[str, ...] = attrs.field(converter=as_names)
    folder: str
    files: Mapping[str, bytes] = attrs.field(factory=dict, validator=_inside, repr=False)
    needs: Mapping[str, bytes] = attrs.field(factory=dict, repr=False)
    environment: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    cpus: int = attrs.field(default=1, validator=check_count(0))


@attrs.frozen(kw_only=True)
class Started:
    """A command on a node: its `folder` there, and whether that is a copy made for it."""

    number: int
    node: LaunchNode
    folder: str
    is_copy: bool = False


@attrs.frozen(kw_only=True)
class CommandState:
    """How a command is: `code` when it has ended, the `lines` that it wrote last to stderr.

    `lost` says why it can't be asked any more: its node, or the way to it, is gone.
    """

    code: int | None = None
    lines: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    lost: str = ""

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to be expected of it."""
        return self.code is not None or bool(self.lost)


class Launcher(ABC):
    """Starts commands on the nodes of a cluster; all of them end with it, whatever ends it."""

    @abstractmethod
    def nodes(self) -> Sequence[LaunchNode]:
        """The machines that are up now.

        Raises:
            DeviceUnavailable: the cluster can't be asked any more.
        """

    @abstractmethod
    def start(self, node: LaunchNode, command: Command) -> Started:
        """Start a command on a node, within a limit of its own.

        Raises:
            DeviceUnavailable: the node is gone, has no CPUs free, or does not answer.
            PluginError: the plugins there are not those of this process.
            InputError: a file that it needs is not there, or its own can't be written.
        """

    @abstractmethod
    def look(self, started: Started) -> CommandState:
        """How a command is; it waits for nothing.

        Raises:
            DeviceUnavailable: the cluster can't be asked any more.
        """

    @abstractmethod
    def stop(self, started: Sequence[Started], limit_s: float) -> None:
        """End commands: SIGTERM, and after so many seconds SIGKILL, with all that they began."""

    @abstractmethod
    def close(self) -> None:
        """End all commands, and leave the cluster; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
