"""The part of `ds-sdk doctor` that loads plugins, in a process of its own.

So that a plugin which ends the interpreter when it is imported is named like any other fault.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Literal

from deepseek_core.cli.doctor_checks import Check
from deepseek_core.cli.main import COMMANDS
from deepseek_core.discovery.scan import EntryPoint, scan
from deepseek_core.discovery.switches import Switches
from deepseek_core.discovery.triage import triage

_LIMIT_S: Final = 60.0
_SEVERITY: Final[Mapping[str, Literal["warn", "fail"]]] = {
    "unavailable": "warn",
    "broken": "fail",
    "incompatible": "fail",
    "conflict": "fail",
}

Row = dict[str, Any]


def plugin_checks() -> Iterator[Check]:
    """One check for each plugin that does not work, and a summary of the others."""
    rows, ending = _load()
    if ending is None:
        yield from _judged(rows)
        return
    culprits: list[Check] = []
    loaded: list[Row] = []
    for point, row in triage(scan(), Switches.resolve()):
        if row.status is not None:
            loaded.append({**row.to_json()})
            continue
        alone, ending = _load(only=point)
        loaded += [entry for entry in alone if _is(entry, point)]
        culprits += [_deadly(point, ending)] if ending else []
    yield from culprits
    yield from _judged(loaded)


def _is(entry: Row, point: EntryPoint) -> bool:
    return bool(entry["name"] == point.name and entry["dist"] == point.dist)


def _load(only: EntryPoint | None = None) -> tuple[list[Row], str | None]:
    """Rows of `list-plugins --json` from another process, or how that ended without any."""
    environment = {**os.environ, "DEEPSEEK_STRICT_PLUGINS": "0"}
    if only is not None:
        environment["DEEPSEEK_PLUGINS"] = f"{only.dist}:{only.name}"
    command = [sys.executable, "-P", "-m", "deepseek_core", "list-plugins", "--json"]
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,
        )
        code = _wait(child)
        output.seek(0)
        text = output.read()
    if code == 0:
        with suppress(ValueError, KeyError):
            return json.loads(text)["plugins"], None
    return [], _ending(code)


def _wait(child: subprocess.Popen[bytes]) -> int | None:
    """The exit code; None if the time was up. Ends whatever the child started."""
    try:
        return child.wait(_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def _ending(code: int | None) -> str:
    if code is None:
        return f"does not end in {_LIMIT_S:g} s"
    if code >= 0:
        return f"ends the process with code {code}"
    with suppress(ValueError):
        return f"crashes the process with {signal.Signals(-code).name}"
    return f"crashes the process with signal {-code}"


def _deadly(point: EntryPoint, ending: str) -> Check:
    return Check(
        name=f"plugin {point.name}",
        status="fail",
        message=f"importing it {ending}",
        remedy=f"pip uninstall {point.dist} (or DEEPSEEK_DISABLE_PLUGINS={point.name})",
    )


def _judged(rows: Sequence[Row]) -> Iterator[Check]:
    for row in rows:
        if row["status"] in _SEVERITY:
            yield Check(
                name=f"plugin {row['name']}",
                status=_SEVERITY[row["status"]],
                message=f"{row['status']}: {row['reason']}",
                remedy=row["remedy"],
            )
        yield from _hidden_commands(row)
    yield Check(name="plugins", status="ok", message=_summary(rows))


def _hidden_commands(row: Row) -> Iterator[Check]:
    for name in row["provides"] if "command" in row["kinds"] else ():
        if name in COMMANDS:
            yield Check(
                name=f"plugin {row['name']}",
                status="warn",
                message=f"its command {name!r} can't be reached: ds-sdk has one of that name",
                remedy=f"tell the authors of {row['dist']}",
            )


def _summary(rows: Iterable[Row]) -> str:
    named: dict[str, list[str]] = {}
    for row in rows:
        named.setdefault(str(row["status"]), []).append(row["name"])
    order = [status for status in ("available", "disabled", "blocked") if status in named]
    return "; ".join(f"{status}: {', '.join(named[status])}" for status in order) or "none works"
