"""The checks that plugins add to `ds-sdk doctor`, each run in a process of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, get_args, get_type_hints

import attrs

from deepseek_core.contracts.check import CheckSpec, Finding
from deepseek_core.contracts.secret import masked, scrub
from deepseek_core.discovery.installing import update_or_disable
from deepseek_core.discovery.isolated import Children, Outcome
from deepseek_core.discovery.registry import Registered

_STATUSES: Final = get_args(get_type_hints(Finding)["status"])
_FIELDS: Final = {field.name for field in attrs.fields(Finding)}

Found = tuple[Registered[CheckSpec], tuple[Finding, ...]]


def run_checks(checks: Iterable[Registered[CheckSpec]], children: Children) -> list[Found]:
    """Run them side by side, each within the children's limits; one that fails is a finding."""
    return children.each(lambda check: (check, _found(check, children)), checks)


def _found(check: Registered[CheckSpec], children: Children) -> tuple[Finding, ...]:
    if not check.usable:
        return (Finding(status="warn", text=check.reason or "", remedy=check.remedy),)
    outcome = children.ask("check", locator=check.record.run, settings=dict(check.settings))
    try:
        findings = _answered(check, outcome, children.timeout_s)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        findings = (_failed(check, f"the check's answer does not fit: {scrub(str(error))}"),)
    return findings or (Finding(status="ok", text="nothing found"),)


def _answered(
    check: Registered[CheckSpec], outcome: Outcome, limit_s: float
) -> tuple[Finding, ...]:
    answer = outcome.answer
    if answer is None:
        return (_failed(check, outcome.ending("the check", limit_s)),)
    if "error" in answer:
        error: Mapping[str, Any] = answer["error"]
        return (_failed(check, scrub(error["text"]), error["remedy"]),)
    return tuple(_finding(row) for row in answer["rows"])


def _finding(row: Any) -> Finding:
    if not isinstance(row, Mapping) or set(row) != _FIELDS or row["status"] not in _STATUSES:
        raise ValueError("expected status (ok, warn, fail), text and remedy")
    if not isinstance(row["text"], str) or not isinstance(row["remedy"], str | None):
        raise ValueError("text and remedy have to be text")
    return Finding(**masked(row))


def _failed(check: Registered[CheckSpec], text: str, remedy: str | None = None) -> Finding:
    default = update_or_disable(check.dist, check.plugin)
    return Finding(status="fail", text=text, remedy=remedy or default)
