"""Notices about switches and settings that name what is not installed.

Such a name has no effect and ends no command, unless `strict` is set: a configuration file may
serve several environments, and a plugin may be uninstalled after it was switched off.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.strangers import text_of
from deepseek_core.discovery.switches import Switches, matches, suggestion


@attrs.frozen(kw_only=True)
class Notice:
    """A setting without effect, and what to do about it; `of_file` if it stands in a file."""

    text: str
    remedy: str
    of_file: bool = False

    def __str__(self) -> str:
        return f"{self.text} -> {self.remedy}"


def unknown_names(switches: Switches, entry_points: Iterable[EntryPoint]) -> tuple[Notice, ...]:
    """List the plugins that a switch names and that are not installed."""
    points = tuple(entry_points)
    names = {word for point in points for word in (point.name, point.dist)}
    found = [
        _notice(switches, switch, word, names)
        for switch in ("allow", "disable")
        for word in getattr(switches, switch) or ()
        if not any(matches(word, point) for point in points)
    ]
    dists = {point.dist for point in points}
    installed = set(map(normalize, dists))
    preferred = (dist for dist in switches.prefer.values() if normalize(dist) not in installed)
    return tuple(
        dict.fromkeys([*found, *(_notice(switches, "prefer", d, dists) for d in preferred)])
    )


def unknown_settings(switches: Switches, entry_points: Iterable[EntryPoint]) -> tuple[Notice, ...]:
    """List the tables `[plugin.NAME]` whose plugin is not installed."""
    known = {point.name for point in entry_points}
    return tuple(
        Notice(
            text=f"{switches.config}: [plugin.{text_of(name)}] is for no plugin that is installed",
            remedy=suggestion(name, known) or "take the table out if no environment needs it",
            of_file=True,
        )
        for name in switches.settings
        if name not in known
    )


def unoffered(switches: Switches, name: str, dist: str, known: Iterable[str]) -> Notice:
    """Tell of a preference for something that the preferred distribution does not offer."""
    origin = switches.origin("prefer")
    return Notice(
        text=f"{origin}: {dist} offers nothing named {name!r}",
        remedy=suggestion(name, known) or f"take {name!r} out",
        of_file=_is_file(switches, origin),
    )


def _notice(switches: Switches, switch: str, word: str, known: Iterable[str]) -> Notice:
    origin = switches.origin(switch)
    of_file = _is_file(switches, origin)
    otherwise = f"take it out of {origin} if no environment has it"
    return Notice(
        text=f"{origin} names {word!r}, and no such plugin is installed",
        remedy=suggestion(word, known) or (otherwise if of_file else f"correct {origin}"),
        of_file=of_file,
    )


def _is_file(switches: Switches, origin: str) -> bool:
    return switches.config is not None and origin.startswith(str(switches.config))
