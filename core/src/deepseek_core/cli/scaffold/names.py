"""The names of a new plugin, refused where they would clash or could not be imported."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.contracts.errors import ConfigError

_PLUGIN: Final = re.compile(r"[a-z][a-z0-9_]*")
_DIST: Final = re.compile(r"[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9._-]*[A-Za-z0-9]")  # PEP 508
_OURS: Final = "names that begin with deepseek are the SDK's own"


@attrs.frozen(kw_only=True)
class Names:
    """What a new plugin is called: entry point and package alike, distribution, author.

    `word` is the name as commands and URLs have it, with hyphens.
    """

    name: str
    dist: str
    author: str

    @property
    def word(self) -> str:
        """`acme_npu` -> `acme-npu`."""
        return self.name.replace("_", "-")


def checked_names(name: str, dist: str | None, author: str | None) -> Names:
    """The names, with defaults for those that are not given.

    Raises:
        ConfigError: one is malformed, is the SDK's own, or belongs to something else.
    """
    names = Names(
        name=name,
        dist=dist or name.replace("_", "-"),
        author=author or f"The authors of {dist or name.replace('_', '-')}",
    )
    _check_plugin(name)
    _check_dist(names.dist)
    return names


def _check_plugin(name: str) -> None:
    if not _PLUGIN.fullmatch(name):
        plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        raise ConfigError(
            f"{name!r} can't be the name of a plugin",
            remedy=f"lower-case letters, digits, underscores: {plain or 'acme_npu'}",
        )
    if name.startswith("deepseek") or name in _owned():
        raise ConfigError(f"{name!r} is taken: {_OURS}", remedy=f"call it acme_{name}")
    import keyword

    if keyword.iskeyword(name) or name in sys.stdlib_module_names or name in ("test", "tests"):
        raise ConfigError(f"{name!r} would hide a name of Python", remedy=f"call it acme_{name}")


def _owned() -> set[str]:
    from deepseek_core.discovery.owners import OWNERS

    return {name for name, _dist in OWNERS} | {"null"}


def _check_dist(dist: str) -> None:
    if not _DIST.fullmatch(dist):
        raise ConfigError(
            f"{dist!r} can't be the name of a distribution",
            remedy="letters, digits, and between them hyphens, dots and underscores",
        )
    if dist.lower().startswith("deepseek"):
        raise ConfigError(f"{dist!r} is taken: {_OURS}", remedy=f"call it acme-{dist.lower()}")


def check_free(names: Names, kind: str, folder: Path) -> None:
    """Refuse a name that something else in this environment has.

    Raises:
        ConfigError: a package of that name is installed from elsewhere, or the SDK has a
            command of that name.
    """
    from deepseek_core.cli.main import COMMANDS
    from deepseek_core.discovery.modules import locate

    if kind == "command" and names.word in COMMANDS:
        raise ConfigError(
            f"ds-sdk has a command {names.word!r} of its own", remedy="choose another name"
        )
    found = locate(names.name)
    if found is None or found.origin is None:  # a mere folder
        return
    if not Path(found.origin).is_relative_to(folder.resolve()):
        raise ConfigError(
            f"a package {names.name!r} is installed already: {found.origin}",
            remedy=f"choose another name, or pip uninstall {names.dist}",
        )
