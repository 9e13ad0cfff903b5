"""The process in which `facts` lists a plugin: its name and the answer's file are arguments."""

from __future__ import annotations

import json
import logging
import os
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import attrs

from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.modules import HEAVY
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.status import Status
from deepseek_core.discovery.strangers import raise_if_ours
from deepseek_core.testing.facts import CANARY, CANARY_VARIABLE
from deepseek_core.testing.subject import (
    entry_points_of,
    load,
    locators_of,
    records_of,
    unswitched,
)
from deepseek_core.testing.watching import watching

# A plugin must not fail for lack of a module that it may not be usable without.
_LOADED = (Status.AVAILABLE, Status.UNAVAILABLE)
_USUAL = ("token", "password", "secret", "api_key")


class _Listener(logging.Handler):
    """Keeps every log line."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def main() -> None:
    """List the plugin, twice plainly and once with secret settings; write what was seen."""
    plugin, answer = sys.argv[1], Path(sys.argv[2])
    points = entry_points_of(plugin)
    switches = unswitched()
    discover(switches, entry_points=())
    modules = set(sys.modules)
    with watching() as seen:
        hooks = _import(points[0])
        changed = seen().changed  # before discovery puts it back
        first = discover(switches, entry_points=points)
        listing = seen()
    new = set(sys.modules) - modules
    again = discover(switches, entry_points=points)
    listener = _Listener()
    logging.basicConfig(level=logging.DEBUG, handlers=[listener], force=True)
    secretive = discover(unswitched(**{plugin: _secrets(hooks)}), entry_points=points)
    with watching() as seen:
        _load(first)
        code = seen()
    row = first.plugins[0]
    own = {point.value.partition(":")[0].partition(".")[0] for point in points}
    facts = {
        "loads": row.status in _LOADED,
        "why": row.why,
        "heavy": sorted(HEAVY & new),
        "modules": len([name for name in new if name.split(".")[0] not in own | {"deepseek_core"}]),
        "listing": attrs.asdict(attrs.evolve(listing, changed=changed or listing.changed)),
        "code": attrs.asdict(code),
        "told": _told(secretive, listener),
        "repeats": records_of(first) == records_of(again),
        "records": [repr(registered.record) for _, registered in records_of(first)],
        "nbytes_said": _nbytes_said(),
    }
    write_answer(answer, facts)


def write_answer(file: Path, answer: object) -> None:
    """Write JSON, whole or not at all."""
    file.with_suffix(".part").write_text(json.dumps(answer), encoding="utf-8")
    file.with_suffix(".part").rename(file)


def _nbytes_said() -> int:
    """What was printed so far: both streams go to one file."""
    sys.stdout.flush()
    sys.stderr.flush()
    return os.fstat(1).st_size


def _load(registry: Registry) -> None:
    """Load the code that its records name; whether it can be loaded is a rule of its own."""
    for _, registered in records_of(registry):
        for locator in locators_of(registered):
            with suppress(Exception, SystemExit):
                load(registered, locator)


def _import(point: EntryPoint) -> object:
    """Import the hooks directly: discovery would undo what an import does to the process."""
    mine = os.getpid()
    try:
        return import_module(point.value.partition("[")[0].partition(":")[0].strip())
    except BaseException as error:  # noqa: BLE001 - discovery tells it in words
        raise_if_ours(error)
        return None
    finally:
        if os.getpid() != mine:
            os._exit(0)  # a copy that the plugin made


def _secrets(hooks: object) -> dict[str, object]:
    """Values for the secrets among its settings; for the usual names, if it declares none."""
    locator = getattr(hooks, "settings", None)
    if not isinstance(locator, str):
        return dict.fromkeys(_USUAL, CANARY)
    module, _, name = locator.partition(":")
    fields = attrs.fields(getattr(import_module(module), name))
    secrets = (field.alias for field in fields if field.metadata.get("secret"))
    return {name: {"env": CANARY_VARIABLE} for name in secrets}


def _told(registry: Registry, listener: _Listener) -> list[str]:
    """Where the secret can be read; discovery refuses some records for showing one."""
    told = [what for what, text in _texts(registry, listener) if CANARY in text]
    row = registry.plugins[0]
    refused = row.status is Status.BROKEN and "secret can be read" in (row.reason or "")
    return [*told, "a record"] if refused else told


def _texts(registry: Registry, listener: _Listener) -> list[tuple[str, str]]:
    """Everything that is shown to people, by what it is."""
    return [
        *((f"the record {r.record.name!r}", repr(r)) for _, r in records_of(registry)),
        ("its row in the list of plugins", repr(registry.plugins)),
        ("its log", "\n".join(listener.lines)),
    ]


if __name__ == "__main__":
    main()
