"""Loading plugins one by one, so that none can take another or the process down."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.contracts.secret import shows_secret
from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.families import FAMILIES, LISTENER, Family, assemble
from deepseek_core.discovery.guard import Guard, one_at_a_time, time_limit
from deepseek_core.discovery.hooks import HookRaised, Hooks, HostContext
from deepseek_core.discovery.installed import CORE, core_version
from deepseek_core.discovery.installing import (
    FOLDERS,
    install_command,
    remove_command,
    update_command,
    update_or_disable,
    update_or_remove,
)
from deepseek_core.discovery.modules import heavy_now, locate
from deepseek_core.discovery.owners import is_ours, why_not_ours
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.scan import API, EXPECTED, EntryPoint, scan
from deepseek_core.discovery.status import FAULTS, PluginRow, Status
from deepseek_core.discovery.strangers import Overdue, raise_if_ours, repr_of
from deepseek_core.discovery.streams import stdout_to_stderr
from deepseek_core.discovery.switches import Switches, UnfitSettings, suggestion
from deepseek_core.discovery.triage import triage

if TYPE_CHECKING:
    from deepseek_core.discovery.fatal import Imports
    from deepseek_core.discovery.notices import Notice

_MOST_RECORDS: Final = 10_000
_SLOW_MS: Final = 1000.0

Records = tuple[tuple[Family, Registered[Any]], ...]


def discover(
    switches: Switches | None = None, *, entry_points: Iterable[EntryPoint] | None = None
) -> Registry:
    """Find, judge and load every plugin; what is wrong with one becomes its row.

    Raises:
        ConfigError: a switch is malformed; in strict mode, one names what is not installed; a
            setting that the program gives is for no plugin, or keeps it from loading.
        PluginError: in strict mode, when a plugin is broken, incompatible or in conflict; in a
            worker, when its plugins are not those of its parent; when another thread that loads
            plugins does not end.
    """
    switches = Switches.resolve() if switches is None else switches
    points = tuple(scan() if entry_points is None else entry_points)
    judged = triage(points, switches)
    resolved = tuple(point for point, row in judged if row.status is None)
    if EXPECTED in os.environ:
        from deepseek_core.discovery.fingerprint import check_expected  # start-up: workers need it

        check_expected(resolved)
    loader = _Loader(switches, resolved)
    with one_at_a_time(), stdout_to_stderr(), Guard() as guard, loader:
        loaded = [loader.load(point, row, guard) for point, row in judged]
    registry = assemble(loaded, switches, loader.hooks)
    registry = attrs.evolve(
        registry,
        resolved=resolved,
        settings=loader.settings,
        notices=_unknown(switches, points) + registry.notices,
    )
    if switches.strict:
        _refuse_faults(registry)
    _check_given(registry)
    return registry


class _Loader:
    """Loads plugins into one set of hooks; `with` it, as long as any is to be loaded."""

    def __init__(self, switches: Switches, resolved: Sequence[EntryPoint]) -> None:
        self.hooks = Hooks(_trace if switches.trace_hooks else None)
        self._switches = switches
        self._version = core_version()
        self.settings: dict[str, Mapping[str, object]] = {}
        self._told: dict[str, Mapping[str, object]] = {}  # the same without secrets, as JSON has it
        self._resolved = resolved
        # Most records require the same few modules.
        self._is_missing = cache(lambda module: locate(module) is None)
        self._imports: Imports | None = None  # of plugins of others

    def __enter__(self) -> _Loader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._imports is not None:
            self._imports.close()

    def load(self, point: EntryPoint, row: PluginRow, guard: Guard) -> tuple[PluginRow, Records]:
        """The row with its outcome, and the records; a row that has an outcome stays as it is."""
        if row.status is not None:
            return row, ()
        refusal = self._begun(point, guard)
        if refusal is not None:
            return row.ended(Status.BROKEN, *refusal), ()
        heavy, start_s = heavy_now(), time.perf_counter()
        row, records = self._in_time(point, row, guard)
        guard.end_copies()  # first: a copy has no thread that watches, and would wait for it
        if not guard.has_files():
            raise self._closed_all(point)
        if self._imports is not None:
            self._imports.ended_well(point)
        spent_ms = round((time.perf_counter() - start_s) * 1e3, 2)
        new = tuple(sorted(heavy_now() - heavy))
        row = attrs.evolve(row, load_ms=spent_ms, heavy_modules=new)
        row = self._damage(row, guard, point)
        if row.status is None:
            return _with_note(row, point, self._version), records
        self.hooks.unregister(point.name)
        return row, ()

    def _closed_all(self, point: EntryPoint) -> PluginError:
        """The end: nobody knows what else it has closed; the next process is warned."""
        if self._imports is not None:
            self._imports.leave()
        return PluginError(
            f"plugin {point.name!r} closed files of this process as it was imported",
            remedy=update_or_disable(point.dist, point.name),
        )

    def _begun(self, point: EntryPoint, guard: Guard) -> tuple[str, str] | None:
        """Note that its import begins; says why not, of one that has ended the process before."""
        if self._imports is None:
            if is_ours(point, self._version):
                return None
            from deepseek_core.discovery.fatal import Imports

            self._imports = Imports(self._switches, self._resolved)
            guard.look()  # a file of ours is open now
        refusal = self._imports.refusal(point)
        if refusal is None:
            self._imports.begin(point)
        return refusal

    def _in_time(
        self, point: EntryPoint, row: PluginRow, guard: Guard
    ) -> tuple[PluginRow, Records]:
        limit_s = self._switches.load_timeout_s
        try:
            with time_limit(limit_s):
                if self._imports is None or is_ours(point, self._version):
                    return self._attempt(point, row, guard)
                from deepseek_core.discovery.fatal import in_named_frame

                return in_named_frame(lambda: self._attempt(point, row, guard), point)
        except Overdue:
            reason = f"its import did not end in {limit_s:g} s"
            remedy = f"DEEPSEEK_LOAD_TIMEOUT={3 * limit_s:g} (or {remove_command(point.dist)})"
            return row.ended(Status.BROKEN, reason, remedy), ()

    def _attempt(
        self, point: EntryPoint, row: PluginRow, guard: Guard
    ) -> tuple[PluginRow, Records]:
        try:
            return self._load(point, row)
        except UnfitSettings as error:
            from deepseek_core.discovery.faults import unfit  # here, as each start counts modules

            return row.ended(Status.UNAVAILABLE, *unfit(error)), ()
        except KeyboardInterrupt as stop:
            # Should the plugin raise it by itself, this is how its user learns which one it is.
            raise KeyboardInterrupt(f"while plugin {point.name!r} was loaded") from stop
        except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything
            raise_if_ours(error)
            guard.let_import()
            from deepseek_core.discovery.faults import cause_of

            return row.ended(Status.BROKEN, *cause_of(error, point)), ()

    def _damage(self, row: PluginRow, guard: Guard, point: EntryPoint) -> PluginRow:
        """Undo what the plugin did to the process; one that changed the library is refused."""
        guard.let_import()
        replaced, changed = guard.library_restored(), guard.restored()
        if replaced:
            return row.ended(Status.BROKEN, replaced, update_or_remove(point.dist))
        if changed and row.status is None:
            return _noted(row, changed, update_or_remove(point.dist))
        return row

    def _load(self, point: EntryPoint, row: PluginRow) -> tuple[PluginRow, Records]:
        plugin = load_entry_point(point.value)
        settings = self.settings[point.name] = self._settings(plugin, point)
        if point.major != API[0]:
            from deepseek_core.discovery.adapters import adapt

            plugin, row = adapt(plugin, point, row)
        verdict = _too_new(plugin, point) if row.status is None else None
        if verdict is not None:
            row = row.ended(Status.INCOMPATIBLE, *verdict)
        if row.status is not None:
            return row, ()
        names = self.hooks.register(plugin, point.name)
        records = tuple(self._records(point, settings))
        kinds = [family.kind for family in (*FAMILIES, LISTENER) if family.hook in names]
        return attrs.evolve(row, hooks=names, kinds=kinds), records

    def _settings(self, plugin: object, point: EntryPoint) -> Mapping[str, object]:
        if isinstance(getattr(plugin, "settings", None), str):
            from deepseek_core.discovery.settings import plain, settings_of

            declared = settings_of(plugin, point.name, self._switches) or ()
            self._told[point.name] = plain(declared)
            return {setting.name: setting.value for setting in declared}
        file, given = self._switches.settings, self._switches.given
        return {**file.get(point.name, {}), **given.get(point.name, {})}

    def _records(
        self, point: EntryPoint, settings: Mapping[str, object]
    ) -> Iterator[tuple[Family, Registered[Any]]]:
        context = HostContext(core_version=self._version, api=API, settings=settings)
        ours = is_ours(point, self._version)
        for family in FAMILIES:
            for result in self.hooks.call_one(point.name, family.spec, context):
                if result.error is not None:
                    raise HookRaised(family.hook) from result.error
                for record in _materialized(family, result.value):
                    _refuse_shown_secret(family, record)
                    lacks = [module for module in record.requires if self._is_missing(module)]
                    told = self._told.get(point.name, {})
                    yield (
                        family,
                        family.registered(record, point, ours=ours, lacks=lacks, settings=told),
                    )


def load_entry_point(value: str) -> object:
    """The object that an entry point names: `module`, or `module:object`."""
    module, _, path = value.partition("[")[0].partition(":")
    found: object = import_module(module.strip())
    for part in filter(None, path.strip().split(".")):
        found = getattr(found, part)
    return found


def _too_new(plugin: object, point: EntryPoint) -> tuple[str, str] | None:
    wanted = getattr(plugin, "requires_api", None)
    if wanted is None:
        return None
    major, _, minor = wanted.partition(".") if isinstance(wanted, str) else ("", "", "")
    if not (major.isdecimal() and minor.isdecimal()):
        raise PluginError(f"requires_api is {wanted!r}", remedy='write it as requires_api = "1.0"')
    if int(major) == API[0] and int(minor) <= API[1]:
        return None
    stale = CORE if (int(major), int(minor)) > API else point.dist
    reason = f"needs API {wanted}; core has {API[0]}.{API[1]}"
    return reason, update_command(stale)


def _materialized(family: Family, value: object) -> list[Any]:
    """The records as a list: a generator runs here, inside the plugin's own try.

    Raises:
        PluginError: not an iterable of the right records, or no end of them.
    """
    wanted = f"{family.hook} must return an iterable of {family.record.__name__}"
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise PluginError(f"{wanted}; it returned {_described(value)}")
    records: list[Any] = []
    try:
        for record in value:
            if not issubclass(type(record), family.record):  # its `__class__` may lie
                raise PluginError(f"{wanted}; one of them is {_described(record)}")
            if len(records) == _MOST_RECORDS:
                raise PluginError(f"{family.hook} returned more than {_MOST_RECORDS} records")
            records.append(record)
    except PluginError:
        raise
    except BaseException as error:
        raise_if_ours(error)
        raise HookRaised(family.hook) from error
    return _distinct(family, records)


def _refuse_shown_secret(family: Family, record: object) -> None:
    if shows_secret(record):
        raise PluginError(
            f"{family.hook} returned a record in which a secret can be read",
            remedy="reveal the secret where it is used, and keep it out of records",
        )


def _distinct(family: Family, records: list[Any]) -> list[Any]:
    seen: set[str] = set()
    for record in records:
        if record.name in seen:
            raise PluginError(f"{family.hook} returned two records named {record.name!r}")
        seen.add(record.name)
    return records


def _with_note(row: PluginRow, point: EntryPoint, core: str) -> PluginRow:
    """A plugin that works, with what is to be said of it: a name of ours, a cost at every start."""
    denied = why_not_ours(point, core)
    if denied:
        row = _noted(row, f"treated as a third party's: {denied}", _instead(point))
    if row.heavy_modules:
        reason = f"its import pulls in {', '.join(row.heavy_modules)}, at every start"
    elif (row.load_ms or 0) > _SLOW_MS:
        reason = f"its import took {(row.load_ms or 0) / 1e3:.1f} s, at every start"
    else:
        return row
    return _noted(row, reason, "import it in the function that needs it")


def _noted(row: PluginRow, reason: str, remedy: str) -> PluginRow:
    """The row with one more thing to be said; what was said first has the remedy."""
    reasons = "; ".join(filter(None, (row.reason, reason)))
    return attrs.evolve(row, reason=reasons, remedy=row.remedy or remedy)


def _instead(point: EntryPoint) -> str:
    """How to get ours in place of what only has its name."""
    dist = normalize(point.dist)
    then = f", then {install_command(dist)}" if dist in FOLDERS else ""
    return f"{remove_command(point.dist)}{then}"


def _described(value: object) -> str:
    return "None" if value is None else f"{repr_of(value):.60} ({type(value).__name__})"


def _trace(line: str) -> None:
    sys.stderr.write(f"hook: {line}\n")


def _check_given(registry: Registry) -> None:
    rows = {row.name: row for row in registry.plugins}
    for name in registry.switches.given:
        row = rows.get(name)
        if row is None:
            raise ConfigError(
                f"settings are given for {name!r}, and no such plugin is installed",
                remedy=suggestion(name, rows) or f"installed are {', '.join(rows) or 'none'}",
            )
        if row.status is not Status.AVAILABLE:
            reason = f"plugin {name!r} is {row.status}: {row.reason}"
            raise ConfigError(reason, remedy=row.remedy)


def _unknown(switches: Switches, points: tuple[EntryPoint, ...]) -> tuple[Notice, ...]:
    if not (switches.allow or switches.disable or switches.prefer):
        return ()
    from deepseek_core.discovery.notices import unknown_names  # here, as each start counts modules

    return unknown_names(switches, points)


def _refuse_faults(registry: Registry) -> None:
    undo = registry.switches.undo("strict")
    for notice in registry.notices:
        raise ConfigError(notice.text, remedy=f"{notice.remedy} (or {undo})")
    faults = [row for row in registry.plugins if row.status in FAULTS]
    if faults:
        raise PluginError(
            "; ".join(f"plugin {row.name!r} is {row.status}: {row.reason}" for row in faults),
            remedy=f"{faults[0].remedy} (or {undo})",
        )
