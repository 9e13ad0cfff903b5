"""Loading plugins one by one, so that none can take another or the process down."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import attrs

from deepseek_core.contracts.context import HostContext
from deepseek_core.contracts.errors import DeepSeekError, PluginError
from deepseek_core.discovery.families import FAMILIES, LISTENER, Family, assemble
from deepseek_core.discovery.hooks import Hooks
from deepseek_core.discovery.modules import heavy_now, package_of
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.scan import API, EntryPoint, core_version, scan
from deepseek_core.discovery.status import FAULTS, PluginRow, Status, one_line
from deepseek_core.discovery.switches import Switches
from deepseek_core.discovery.triage import triage

_MOST_RECORDS: Final = 10_000

Records = tuple[tuple[Family, Registered[Any]], ...]


def discover(
    switches: Switches | None = None, *, entry_points: Iterable[EntryPoint] | None = None
) -> Registry:
    """Find, judge and load every plugin; what is wrong with one becomes its row.

    Raises:
        ConfigError: a switch is malformed or names a plugin that is not installed.
        PluginError: in strict mode, when a plugin is broken, incompatible or in conflict.
    """
    switches = Switches.resolve() if switches is None else switches
    judged = triage(scan() if entry_points is None else entry_points, switches)
    loader = _Loader(switches)
    with _stdout_to_stderr():
        loaded = [loader.load(point, row) for point, row in judged]
    registry = assemble(loaded, switches, loader.hooks)
    if switches.strict:
        _refuse_faults(registry)
    return registry


class _Loader:
    """Loads plugins into one set of hooks."""

    def __init__(self, switches: Switches) -> None:
        self.hooks = Hooks(_trace if switches.trace_hooks else None)
        self._settings = switches.settings
        self._version = core_version()

    def load(self, point: EntryPoint, row: PluginRow) -> tuple[PluginRow, Records]:
        """The row with its outcome, and the records; a row that has an outcome stays as it is."""
        if row.status is not None:
            return row, ()
        heavy, start_s = heavy_now(), time.perf_counter()
        try:
            row, records = self._load(point, row)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything
            self.hooks.unregister(point.name)
            row, records = row.ended(Status.BROKEN, *_cause(error, point)), ()
        spent_ms = round((time.perf_counter() - start_s) * 1e3, 2)
        new = tuple(sorted(heavy_now() - heavy))
        return attrs.evolve(row, load_ms=spent_ms, heavy_modules=new), records

    def _load(self, point: EntryPoint, row: PluginRow) -> tuple[PluginRow, Records]:
        plugin = _import(point.value)
        verdict = _too_new(plugin, point)
        if verdict is not None:
            return row.ended(Status.INCOMPATIBLE, *verdict), ()
        names = self.hooks.register(plugin, point.name)
        records = tuple(self._records(point))
        kinds = [family.kind for family in (*FAMILIES, LISTENER) if family.hook in names]
        return attrs.evolve(row, hooks=names, kinds=kinds), records

    def _records(self, point: EntryPoint) -> Iterator[tuple[Family, Registered[Any]]]:
        context = HostContext(
            core_version=self._version, api=API, settings=self._settings.get(point.name, {})
        )
        for family in FAMILIES:
            for result in self.hooks.call_one(point.name, family.spec, context):
                if result.error is not None:
                    raise _Raised(family.hook) from result.error
                for record in _materialized(family, result.value):
                    yield family, family.registered(record, point)


class _Raised(Exception):
    """A hook raised; the error itself is the cause."""


def _import(value: str) -> object:
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
    stale = "deepseek-core" if (int(major), int(minor)) > API else point.dist
    reason = f"needs API {wanted}; core has {API[0]}.{API[1]}"
    return reason, f"pip install -U {stale}"


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
            if not isinstance(record, family.record):
                raise PluginError(f"{wanted}; one of them is {_described(record)}")
            if len(records) == _MOST_RECORDS:
                raise PluginError(f"{family.hook} returned more than {_MOST_RECORDS} records")
            records.append(record)
    except PluginError:
        raise
    except (Exception, SystemExit) as error:
        raise _Raised(family.hook) from error
    return _distinct(family, records)


def _distinct(family: Family, records: list[Any]) -> list[Any]:
    seen: set[str] = set()
    for record in records:
        if record.name in seen:
            raise PluginError(f"{family.hook} returned two records named {record.name!r}")
        seen.add(record.name)
    return records


def _described(value: object) -> str:
    return "None" if value is None else f"{value!r:.60} ({type(value).__name__})"


def _cause(error: BaseException, point: EntryPoint) -> tuple[str, str]:
    """Reason and remedy of a plugin that failed to load."""
    deed, cause = "import failed", error
    if isinstance(error, _Raised):
        deed, cause = f"{error} raised", error.__cause__ or error
    if isinstance(cause, PluginError) and deed == "import failed":
        return cause.message, cause.remedy or f"pip install -U {point.dist}{_or_remove(point)}"
    reason = f"{deed}: {one_line(cause)}{_place(cause.__traceback__)}"
    return reason, _remedy(cause, point)


def _remedy(cause: BaseException, point: EntryPoint) -> str:
    if isinstance(cause, DeepSeekError) and cause.remedy:
        return cause.remedy
    module = cause.name if isinstance(cause, ModuleNotFoundError) else None
    own = point.value.partition(".")[0].partition(":")[0]
    if module and module.partition(".")[0] != own:
        return f"pip install {package_of(module)}{_or_remove(point)}"
    if module:
        return f"pip install --force-reinstall {point.dist}{_or_remove(point)}"
    return f"pip install -U {point.dist}{_or_remove(point)}"


def _or_remove(point: EntryPoint) -> str:
    return f" (or pip uninstall {point.dist})"


def _place(traceback: TracebackType | None) -> str:
    """File and line of the last step that is not Python's import machinery or this SDK."""
    place = ""
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if not file.startswith(_NOT_TOLD):
            place = f" ({os.path.basename(file)}, line {traceback.tb_lineno})"  # noqa: PTH119 - text, not a file
        traceback = traceback.tb_next
    return place


_NOT_TOLD: Final = ("<", str(Path(__file__).parents[1]), import_module.__code__.co_filename)


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Send to stderr what plugins print, in Python or below it: it would corrupt `--json`."""
    _flush_stdout()
    saved = _swap_stdout()
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _flush_stdout()
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def _swap_stdout() -> int | None:
    """Let descriptor 1 lead to stderr; the old one, or None in a process without either."""
    try:
        os.fstat(2)
        saved = os.dup(1)
    except OSError:
        return None
    os.dup2(2, 1)
    return saved


def _flush_stdout() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        if stream is not None and not stream.closed:
            stream.flush()


def _trace(line: str) -> None:
    sys.stderr.write(f"hook: {line}\n")


def _refuse_faults(registry: Registry) -> None:
    faults = [row for row in registry.plugins if row.status in FAULTS]
    if faults:
        raise PluginError(
            "; ".join(f"plugin {row.name!r} is {row.status}: {row.reason}" for row in faults),
            remedy=f"{faults[0].remedy} (or unset {registry.switches.origin('strict')})",
        )
