"""Writes what happens in a pytest run as lines of JSON, for the process that watches it."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any, Final

import pytest

from deepseek_core.testing.outcomes import NOT_IMPLEMENTED, group_of, rule_of

_MOST_TEXT: Final = 2000


class Reporter:
    """A pytest plugin; every line is written out at once, for the next rule may crash."""

    def __init__(self, file: str, only: str | None, group: str | None) -> None:
        self._stream = Path(file).open("a", encoding="utf-8")  # noqa: SIM115 - for the whole run
        self._only = None if only is None else set(Path(only).read_text("utf-8").splitlines())
        self._group = group
        self._worst: dict[str, Any] = {}

    def _tell(self, **event: object) -> None:
        self._stream.write(json.dumps(event) + "\n")
        self._stream.flush()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tell what there is, and keep what is asked for: of all that was told, with a group."""
        if self._only is not None:
            items[:] = [item for item in items if item.nodeid in self._only]
        for item in items:
            self._tell(
                event="found",
                id=item.nodeid,
                group=group_of(item),
                subject=getattr(getattr(item, "cls", None), "__name__", ""),
                rule=rule_of(item),
                title=_title(item),
            )
        if self._group is not None:
            items[:] = [item for item in items if group_of(item) == self._group]

    def pytest_collection_finish(self) -> None:
        """Look for garbage among what the rules make: what was loaded for them stays."""
        gc.freeze()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tell what could not be collected."""
        if report.failed:
            self._tell(event="uncollected", text=str(report.longrepr)[-_MOST_TEXT:])

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Tell which rule begins: if no end follows, it is the one that crashed or hangs."""
        self._worst = {"outcome": "passed", "text": "", "seconds": 0.0}
        self._tell(event="start", id=nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Remember the worst of set-up, call and tear-down."""
        self._worst["seconds"] += report.duration
        if report.failed:
            self._worst |= {"outcome": "failed", "text": _failure(report)}
        elif report.skipped and self._worst["outcome"] == "passed":
            reason = _reason(report)
            missing = reason.startswith(NOT_IMPLEMENTED)
            outcome = "not implemented" if missing else "skipped"
            self._worst |= {"outcome": outcome, "text": reason.removeprefix(NOT_IMPLEMENTED)}
        elif report.when == "call":
            self._worst["text"] = "; ".join(
                str(v) for k, v in report.user_properties if k == "note"
            )

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Tell how a rule ended."""
        self._tell(event="end", id=nodeid, **self._worst)


def _title(item: pytest.Item) -> str:
    """The first line of the rule's docstring."""
    text = getattr(getattr(item, "function", None), "__doc__", None) or ""
    return text.strip().split("\n")[0]


def _failure(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message if crash is not None else report.longrepr)
    logs = [str(value) for name, value in report.user_properties if name == "log"]
    return "\n".join([text[:_MOST_TEXT], *(log[-_MOST_TEXT:] for log in logs)])


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    return str(report.longrepr)
