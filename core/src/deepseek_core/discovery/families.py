"""The families of records, and putting what all plugins offer into one registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core.discovery import hooks
from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.installing import remedy_for_missing, remove_command
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.status import PluginRow, Status
from deepseek_core.discovery.switches import Switches

if TYPE_CHECKING:
    from deepseek_core.discovery.notices import Notice


@attrs.frozen(kw_only=True)
class Family:
    """One kind of record: its hook, its class and the registry's field for it.

    The class is named, not imported, until a plugin offers one: listing is to be quick.
    """

    kind: str
    spec: Callable[..., Any]
    class_name: str = ""
    field: str = ""

    @property
    def record(self) -> type[Any]:
        """The record's class."""
        module = import_module(f"deepseek_core.contracts.{self.kind}")
        found: type[Any] = getattr(module, self.class_name)
        return found

    @property
    def hook(self) -> str:
        """Name of the hook that offers it."""
        return self.spec.__name__

    def registered(
        self,
        record: Any,
        point: EntryPoint,
        *,
        ours: bool,
        lacks: Sequence[str],
        settings: Mapping[str, object],
    ) -> Registered[Any]:
        """The record with its author, and the modules that it lacks."""
        return Registered(
            record=record,
            plugin=point.name,
            dist=point.dist,
            version=point.version,
            ours=ours,
            reason=f"needs {', '.join(lacks)}, not installed" if lacks else None,
            remedy=remedy_for_missing(lacks, point.dist) if lacks else None,
            settings=settings,
        )


FAMILIES: Final = tuple(
    Family(kind=kind, spec=spec, class_name=class_name, field=field)
    for kind, spec, class_name, field in (
        ("device", hooks.ds_register_devices, "DeviceSpec", "devices"),
        ("tier", hooks.ds_register_storage_tiers, "TierSpec", "tiers"),
        ("strategy", hooks.ds_register_parallel_strategies, "StrategySpec", "strategies"),
        ("compressor", hooks.ds_register_compressors, "CompressorSpec", "compressors"),
        ("frontend", hooks.ds_register_frontends, "FrontendSpec", "frontends"),
        ("command", hooks.ds_register_commands, "CommandSpec", "commands"),
        ("executor", hooks.ds_register_executors, "ExecutorSpec", "executors"),
        ("check", hooks.ds_register_checks, "CheckSpec", "checks"),
        ("application", hooks.ds_register_applications, "ApplicationSpec", "applications"),
    )
)
LISTENER: Final = Family(kind="listener", spec=hooks.ds_on_event)

Loaded = tuple[PluginRow, tuple[tuple[Family, Registered[Any]], ...]]


def assemble(loaded: Sequence[Loaded], switches: Switches, callers: hooks.Hooks) -> Registry:
    """Join the plugins' records; a name that two claim goes to neither, unless preferred."""
    claims = _claims(loaded)
    kept: dict[str, list[Registered[Any]]] = {family.field: [] for family in FAMILIES}
    rows = []
    for row, records in loaded:
        lost = {(f.kind, r.record.name): _rivals(claims, f, r, switches) for f, r in records}
        for family, registered in records:
            if not lost[family.kind, registered.record.name]:
                kept[family.field].append(registered)
        rows.append(_outcome(row, records, lost))
    records_of: dict[str, Any] = {field: tuple(records) for field, records in kept.items()}
    return Registry(
        plugins=tuple(rows),
        switches=switches,
        notices=tuple(_idle_preferences(loaded, switches)),
        hooks=callers,
        **records_of,
    )


Claims = dict[tuple[str, str], list[Registered[Any]]]


def _claims(loaded: Iterable[Loaded]) -> Claims:
    claims: Claims = {}
    for _row, records in loaded:
        for family, registered in records:
            claims.setdefault((family.kind, registered.record.name), []).append(registered)
    return claims


def _rivals(
    claims: Claims, family: Family, mine: Registered[Any], switches: Switches
) -> list[Registered[Any]]:
    """Other records that claim the same name and win or tie; mostly none."""
    name = mine.record.name
    others = [r for r in claims[family.kind, name] if r is not mine]
    # No stranger may put a record of ours out of service by taking its name.
    ours = [r for r in (mine, *others) if r.ours]
    if ours:
        return [r for r in ours if r is not mine]
    preferred = normalize(switches.prefer.get(name, ""))
    winner = [r for r in (mine, *others) if normalize(r.dist) == preferred]
    if len(winner) == 1:
        return [] if winner[0] is mine else winner
    return others


def _outcome(
    row: PluginRow,
    records: Sequence[tuple[Family, Registered[Any]]],
    lost: dict[tuple[str, str], list[Registered[Any]]],
) -> PluginRow:
    if row.status is not None:
        return row
    row = attrs.evolve(row, provides=[registered.record.name for _family, registered in records])
    for (kind, name), rivals in lost.items():
        if rivals:
            others = ", ".join(f"{r.plugin} of {r.dist} {r.version}" for r in rivals)
            remedy = _settled(name, row.dist, rivals[0])
            reason = f"{kind} {name!r} is also offered by {others}"
            noted = "; ".join(filter(None, (reason, row.reason)))
            return row.ended(Status.CONFLICT, noted, remedy)
    return _usability(row, [registered for _family, registered in records])


def _settled(name: str, dist: str, rival: Registered[Any]) -> str:
    """How a conflict over a record's name ends; a name of ours is not to be had."""
    if rival.ours:
        return f"{remove_command(dist)} (its authors have to rename {name!r})"
    return f'{remove_command(rival.dist)} (or put prefer.{name} = "{dist}" under [plugins])'


def _usability(row: PluginRow, records: Sequence[Registered[Any]]) -> PluginRow:
    """Unavailable when it has records and none is usable; a part that is not gets a reason."""
    lacking = [r for r in records if not r.usable]
    if not lacking:
        return row.ended(Status.AVAILABLE, row.reason, row.remedy)
    first = lacking[0]
    if len(lacking) == len(records):
        return row.ended(Status.UNAVAILABLE, first.reason, first.remedy)
    return row.ended(Status.AVAILABLE, f"{first.record.name} {first.reason}", first.remedy)


def _idle_preferences(loaded: Sequence[Loaded], switches: Switches) -> Iterator[Notice]:
    """A notice for each name in `prefer` that its distribution, which is here, does not offer."""
    for name, dist in switches.prefer.items():
        mine = [pair for pair in loaded if normalize(pair[0].dist) == normalize(dist)]
        known = {row.name for row, _records in loaded}
        known |= {r.record.name for _row, records in mine for _family, r in records}
        # A plugin that did not load may well offer the name.
        if mine and name not in known and all(row.status is None for row, _records in mine):
            from deepseek_core.discovery.notices import unoffered

            yield unoffered(switches, name, dist, known)
