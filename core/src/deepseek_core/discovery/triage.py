"""Judging plugins by metadata and switches alone, before any of them is imported."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.installed import CORE
from deepseek_core.discovery.installing import (
    reinstall_command,
    remove_command,
    update_command,
    update_or_remove,
)
from deepseek_core.discovery.owners import module_of, owner_of
from deepseek_core.discovery.scan import API, EntryPoint
from deepseek_core.discovery.status import PluginRow, Status
from deepseek_core.discovery.switches import Switches, matches


def triage(
    entry_points: Iterable[EntryPoint], switches: Switches
) -> tuple[tuple[EntryPoint, PluginRow], ...]:
    """Each entry point with its row; the rows without a status are the ones to load."""
    points = tuple(entry_points)
    judged = [(point, _alone(point, switches)) for point in _one_major_each(points)]
    return tuple(
        pair
        for _name, same in groupby(judged, key=lambda pair: pair[0].name)
        for pair in _among(tuple(same), switches)
    )


def _one_major_each(points: Sequence[EntryPoint]) -> list[EntryPoint]:
    """Leave out the other API majors of a plugin that also publishes for this one."""
    ours = {(p.dist, p.name) for p in points if p.major == API[0]}
    kept = [p for p in points if p.major == API[0] or (p.dist, p.name) not in ours]
    return sorted(kept, key=lambda p: (p.name, normalize(p.dist)))


def _alone(point: EntryPoint, switches: Switches) -> PluginRow:
    row = PluginRow(
        name=point.name,
        dist=point.dist,
        version=point.version,
        api=point.api,
        group=point.group,
        entry_point=point.value,
        location=point.location,
    )
    for judge in (_disabled, _blocked, _malformed, _impostor, _incompatible):
        verdict = judge(point, switches)
        if verdict is not None:
            return row.ended(*verdict)
    return row


Verdict = tuple[Status, str, str] | None


def _disabled(point: EntryPoint, switches: Switches) -> Verdict:
    if switches.no_plugins:
        where = switches.origin("no_plugins")
        return (
            Status.DISABLED,
            f"all plugins are switched off by {where}",
            switches.undo("no_plugins"),
        )
    word = next((word for word in switches.disable if matches(word, point)), None)
    if word is None:
        return None
    where = switches.origin("disable")
    return Status.DISABLED, f"switched off by {where}", _switched_on(word, where, switches)


def _switched_on(word: str, where: str, switches: Switches) -> str:
    if switches.config is not None and where.startswith(str(switches.config)):
        return f"ds-sdk plugins enable {word}"
    return f"take {word!r} out of {where}"


def _blocked(point: EntryPoint, switches: Switches) -> Verdict:
    if switches.allow is None or any(matches(word, point) for word in switches.allow):
        return None
    where = switches.origin("allow")
    return Status.BLOCKED, f"not in the allow-list of {where}", f"add {point.name!r} to {where}"


def _impostor(point: EntryPoint, _switches: Switches) -> Verdict:
    owner = owner_of(point)
    if owner is None:
        return None
    reason = f"the name {point.name!r} belongs to {owner}"
    if normalize(point.dist) == owner:
        reason = f"{reason} with its module {module_of(owner)}, and this one is in {point.module}"
    remedy = f"{remove_command(point.dist)} (its authors have to rename the plugin)"
    return Status.CONFLICT, reason, remedy


def _incompatible(point: EntryPoint, _switches: Switches) -> Verdict:
    if point.major in (API[0], API[0] - 1):  # the previous one has an adapter
        return None
    if point.major is None:
        reason = f"its entry-point group {point.group!r} names no API version"
        return Status.INCOMPATIBLE, reason, update_command(point.dist)
    stale = CORE if point.major > API[0] else point.dist
    reason = f"needs API {point.api}; core has v{API[0]}"
    return Status.INCOMPATIBLE, reason, update_command(stale)


def _malformed(point: EntryPoint, _switches: Switches) -> Verdict:
    if point.problem is None:
        return None
    again = f"{reinstall_command(point.dist)} (or {remove_command(point.dist)})"
    return Status.BROKEN, f"malformed metadata: {point.problem}", point.remedy or again


def _among(
    same: Sequence[tuple[EntryPoint, PluginRow]], switches: Switches
) -> list[tuple[EntryPoint, PluginRow]]:
    """Settle which of several plugins of one name may load: one that is preferred, or none."""
    rivals = [point for point, row in same if row.status is None]
    if len(rivals) < 2:
        return list(same)
    return [
        (point, row if row.status else _contested(point, row, rivals, switches))
        for point, row in same
    ]


def _contested(
    point: EntryPoint, row: PluginRow, rivals: Sequence[EntryPoint], switches: Switches
) -> PluginRow:
    preferred = switches.prefer.get(point.name)
    if preferred and normalize(preferred) == normalize(point.dist):
        return row
    where = switches.origin("prefer")
    if preferred and any(normalize(preferred) == normalize(p.dist) for p in rivals):
        reason = f"{where} prefers {preferred} for the name {point.name!r}"
        return row.ended(Status.DISABLED, reason, f"change {where}")
    if all(normalize(p.dist) == normalize(point.dist) for p in rivals):
        values = " and ".join(p.value for p in rivals)
        reason = f"{point.dist} has the name {point.name!r} twice: {values}"
        return row.ended(Status.CONFLICT, reason, update_or_remove(point.dist))
    others = ", ".join(f"{p.dist} {p.version}" for p in rivals if p is not point)
    reason = f"the name {point.name!r} is also offered by {others}"
    return row.ended(Status.CONFLICT, reason, prefer_remedy(point.name, point.dist, rivals))


def prefer_remedy(name: str, dist: str, rivals: Iterable[EntryPoint]) -> str:
    """How to settle a conflict: keep one of the two."""
    other = next((p.dist for p in rivals if normalize(p.dist) != normalize(dist)), dist)
    return f'{remove_command(other)} (or put prefer.{name} = "{dist}" under [plugins])'
