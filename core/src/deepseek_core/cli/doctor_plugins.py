"""The part of `ds-sdk doctor` that loads plugins, in processes of their own.

So that a plugin which ends the interpreter when it is imported is named like any other fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

from deepseek_core.cli.doctor_hardware import Check
from deepseek_core.cli.main import COMMANDS
from deepseek_core.contracts.check import CheckSpec
from deepseek_core.discovery.checks import run_checks
from deepseek_core.discovery.installing import disable_setting, remove_command
from deepseek_core.discovery.isolated import Children
from deepseek_core.discovery.notices import Notice, unknown_names
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.scan import EntryPoint, identities, scan
from deepseek_core.discovery.switches import Switches
from deepseek_core.discovery.triage import triage

# Beside the limit that each import has within the child.
_LIMIT_S: Final = 60.0
_SEVERITY: Final[Mapping[str, Literal["warn", "fail"]]] = {
    "unavailable": "warn",
    "broken": "fail",
    "incompatible": "fail",
    "conflict": "fail",
}

Row = dict[str, Any]


def plugin_checks() -> Iterator[Check]:
    """One check for each plugin that does not work, what plugins check, and a summary."""
    switches = Switches.resolve()
    points = scan()
    judged = triage(points, switches)
    resolved = tuple(point for point, row in judged if row.status is None)
    loading = Children(switches, timeout_s=_LIMIT_S, resolved=resolved)
    deadly: list[Check] = []
    whole = loading.ask("load", only=None)
    if whole.answer is not None and "plugins" in whole.answer:
        answers = [whole.answer]
    else:
        answers, deadly = _one_by_one(resolved, loading)
        answers.append({"plugins": [row.to_json() for _p, row in judged if row.status]})
    yield from deadly
    yield from _idle(answers, unknown_names(switches, points))
    rows = [row for answer in answers for row in answer["plugins"]]
    yield from _judged(sorted(rows, key=lambda row: (row["name"], row["dist"])))
    asking = Children(switches, timeout_s=switches.probe_timeout_s, resolved=resolved)
    yield from _of_plugins([c for answer in answers for c in answer.get("checks", [])], asking)


def _idle(answers: Iterable[Row], told: Sequence[Notice]) -> Iterator[Check]:
    """Switches without effect, as far as only loading shows; the others are `told` already."""
    found = [Notice(**notice) for answer in answers for notice in answer.get("notices", ())]
    for notice in dict.fromkeys(found):
        if notice not in told:
            yield Check(name="config", status="warn", message=notice.text, remedy=notice.remedy)


def _one_by_one(
    points: Sequence[EntryPoint], loading: Children
) -> tuple[list[dict[str, Any]], list[Check]]:
    """What each plugin tells alone, and those that end or hang the process."""
    outcomes = loading.each(lambda p: loading.ask("load", only=identities([p])[0]), points)
    answers: list[dict[str, Any]] = []
    deadly = []
    for point, outcome in zip(points, outcomes, strict=True):
        answer = outcome.answer or {}
        if "plugins" in answer:
            own = [row for row in answer["plugins"] if _is(row, point)]
            answers.append({**answer, "plugins": own})
        else:
            said = answer.get("error", {}).get("text")
            deadly.append(_deadly(point, said or outcome.ending("importing it", _LIMIT_S)))
    return answers, deadly


def _is(row: Row, point: EntryPoint) -> bool:
    return bool(row["name"] == point.name and row["dist"] == point.dist)


def _deadly(point: EntryPoint, ending: str) -> Check:
    return Check(
        name=f"plugin {point.name}",
        status="fail",
        message=ending,
        remedy=f"{remove_command(point.dist)} (or {disable_setting(point.name)})",
    )


def _judged(rows: Sequence[Row]) -> Iterator[Check]:
    for row in rows:
        name = f"plugin {row['name']}"
        if row["status"] in _SEVERITY:
            text = f"{row['status']}: {row['reason']}"
            severity = _SEVERITY[row["status"]]
            yield Check(name=name, status=severity, message=text, remedy=row["remedy"])
        elif row["status"] == "available" and row["reason"]:
            yield Check(name=name, status="warn", message=row["reason"], remedy=row["remedy"])
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


def _of_plugins(told: Iterable[Row], asking: Children) -> Iterator[Check]:
    """What the plugins' own checks find."""
    for check, findings in run_checks([_registered(row) for row in told], asking):
        for finding in findings:
            yield Check(
                name=f"{check.plugin} {check.record.name}",
                status=finding.status,
                message=finding.text,
                remedy=finding.remedy,
            )


def _registered(row: Row) -> Registered[CheckSpec]:
    return Registered(
        record=CheckSpec(name=row["name"], run=row["run"]),
        plugin=row["plugin"],
        dist=row["dist"],
        version=row["version"],
        reason=row["reason"],
        remedy=row["remedy"],
        settings=row["settings"],
    )


def _summary(rows: Iterable[Row]) -> str:
    named: dict[str, list[str]] = {}
    for row in rows:
        named.setdefault(str(row["status"]), []).append(row["name"])
    order = [status for status in ("available", "disabled", "blocked") if status in named]
    return "; ".join(f"{status}: {', '.join(named[status])}" for status in order) or "none works"
