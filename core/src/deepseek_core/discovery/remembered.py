"""Commands of other people's plugins that were run here: whose they were, once they are gone.

What a plugin that is uninstalled or switched off offers can't be asked. Which distribution a
command came from is kept in the folder for caches when it is run, once for each command.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from deepseek_core.contracts.errors import WriteError
from deepseek_core.contracts.files import read_own, whole_file
from deepseek_core.discovery.distributions import is_valid_name, normalize
from deepseek_core.discovery.folders import cache_to_read, make_private, preferred_cache_dir
from deepseek_core.discovery.installing import how_to_install_again
from deepseek_core.discovery.status import PluginRow, Status

_MOST: Final = 1000

Offer = tuple[str, str]
Noted = tuple[str, str, str]
"""Plugin, distribution, and how that is installed again."""


def remember(command: str, plugin: str, dist: str) -> None:
    """Note whose command this is, and how its distribution can be installed again."""
    known = _known()
    if known.get(command, ())[:2] == (plugin, dist) or len(known) >= _MOST:
        return
    noted = {**known, command: (plugin, dist, how_to_install_again(dist))}
    if make_private(preferred_cache_dir()) is None:
        with suppress(OSError, WriteError), whole_file(_file(preferred_cache_dir())) as partial:
            partial.write_text(json.dumps(noted), encoding="utf-8")


def how_to_get_back(command: str, plugins: Iterable[PluginRow]) -> Offer | None:
    """Why a command that was run here is not offered now, and what to do; None if none was."""
    rows = tuple(plugins)
    noted = _known().get(command)
    if noted is None:
        return None
    plugin, dist, again = noted
    for row in rows:
        if row.name == plugin and normalize(row.dist) == normalize(dist):
            if row.status is Status.AVAILABLE:
                return f"plugin {plugin!r} of {dist} offers it no longer", ""
            return f"plugin {plugin!r} of {dist} is {row.status}: {row.reason}", row.remedy or ""
    return f"it was of plugin {plugin!r} of {dist}, which is not installed", again


def contested(command: str, plugins: Iterable[PluginRow]) -> Offer | None:
    """Find the plugins that offer a command if there are two; None if there is none, or one."""
    rows = [
        row
        for row in plugins
        if row.status is Status.CONFLICT and "command" in row.kinds and command in row.provides
    ]
    if len(rows) < 2:
        return None
    names = " and ".join(f"plugin {row.name!r} of {row.dist}" for row in rows)
    return f"{names} both offer it, so neither is taken", rows[0].remedy or ""


def of_switched_off(rows: Iterable[PluginRow]) -> Offer | None:
    """The plugins that are not loaded: one of them may offer it."""
    off = [row for row in rows if row.status in (Status.DISABLED, Status.BLOCKED)]
    if not off:
        return None
    names = ", ".join(row.name for row in off[:5]) + (", ..." if len(off) > 5 else "")
    reasons = dict.fromkeys(row.reason or "" for row in off)
    what = "a plugin that is not loaded may offer it"
    return f"{what}: {names} ({'; '.join(reasons)})", off[0].remedy or ""


def _file(folder: Path) -> Path:
    return folder / "commands.json"


def _known() -> Mapping[str, Noted]:
    folder = cache_to_read()
    if folder is None:
        return {}
    try:
        noted = json.loads(read_own(_file(folder)))
        return {
            str(name): (str(plugin), str(dist), str(again))
            for name, (plugin, dist, again) in noted.items()
            if is_valid_name(str(dist))
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
