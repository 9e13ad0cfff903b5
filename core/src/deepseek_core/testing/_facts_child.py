"""The process in which `facts` lists a plugin: its name and the answer's file are arguments."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs

from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.modules import HEAVY
from deepseek_core.discovery.registry import Registry
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.status import Status
from deepseek_core.discovery.strangers import raise_if_ours
from deepseek_core.testing.facts import CANARY, CANARY_VARIABLE
from deepseek_core.testing.subject import entry_points_of, records_of, unswitched

# A plugin must not fail for want of a module that it may not be usable without.
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
    listener = _Listener()
    logging.basicConfig(level=logging.DEBUG, handlers=[listener])
    points = entry_points_of(plugin)
    switches = unswitched()
    discover(switches, entry_points=())
    modules, held, state = set(sys.modules), _held(), _state()
    hooks = _import(points[0])
    changed = _differing(state, _state())
    first = discover(switches, entry_points=points)
    new = set(sys.modules) - modules
    left_open = _new(held, _held())
    changed = changed or _differing(state, _state())
    again = discover(switches, entry_points=points)
    secretive = discover(unswitched(**{plugin: _secrets(hooks)}), entry_points=points)
    row = first.plugins[0]
    own = {point.value.partition(":")[0].partition(".")[0] for point in points}
    seen = {
        "loads": row.status in _LOADED,
        "why": row.why,
        "heavy": sorted(HEAVY & new),
        "modules": len([name for name in new if name.split(".")[0] not in own | {"deepseek_core"}]),
        "left_open": left_open,
        "changed": changed,
        "told": _told(secretive, listener),
        "repeats": records_of(first) == records_of(again),
        "records": [repr(registered.record) for _, registered in records_of(first)],
    }
    answer.with_suffix(".part").write_text(json.dumps(seen), encoding="utf-8")
    answer.with_suffix(".part").rename(answer)
    sys.stdout.flush()
    os._exit(0)  # what a plugin does at exit is none of the listing's


def _import(point: EntryPoint) -> object:
    """Its hooks, bare: discovery itself would undo what an import does to the process."""
    try:
        return import_module(point.value.partition("[")[0].partition(":")[0].strip())
    except BaseException as error:  # noqa: BLE001 - discovery tells it in words
        raise_if_ours(error)
        return None


def _secrets(hooks: object) -> dict[str, object]:
    """Values for the secrets among its settings; for the usual names, if it declares none."""
    locator = getattr(hooks, "settings", None)
    if not isinstance(locator, str):
        return dict.fromkeys(_USUAL, CANARY)
    module, _, name = locator.partition(":")
    fields = attrs.fields(getattr(import_module(module), name))
    secrets = (field.alias for field in fields if field.metadata.get("secret"))
    return {name: {"env": CANARY_VARIABLE} for name in secrets}


def _held() -> list[str]:
    """Threads and open files by name."""
    files = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            files.append(f"file {link.readlink()}")
        except OSError:  # the listing's own, closed by now
            continue
    return [f"thread {thread.name}" for thread in threading.enumerate()] + files


def _new(before: list[str], after: list[str]) -> list[str]:
    left = list(after)
    for name in before:
        if name in left:
            left.remove(name)
    return sorted(name for name in left if not name.startswith("file /proc/"))


def _state() -> dict[str, Any]:
    """What a plugin has no business with."""
    signals = {str(number): str(signal.getsignal(number)) for number in signal.valid_signals()}
    return {
        "the environment": dict(os.environ),
        "the working folder": str(Path.cwd()),
        "sys.path": list(sys.path),
        "signal handlers": signals,
        "the json module": {name: id(value) for name, value in vars(json).items()},
        "the os module": {name: id(value) for name, value in vars(os).items()},
    }


def _differing(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [name for name in before if before[name] != after[name]]


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
