"""What pytest does with the suite: one verdict for each rule, and one word for what is missing."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import pytest

from deepseek_core.contracts.errors import CompileError
from deepseek_core.testing.report import GENERAL

NOT_IMPLEMENTED: Final = "not implemented: "
_SUITE: Final = "deepseek_core.testing.suite"


class Outcomes:
    """A pytest plugin: generic rules run once, and what an author did not give is skipped."""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the rules of all plugins in the first class of the suite only."""
        seen: set[str] = set()
        kept = []
        for item in items:
            generic = group_of(item) == GENERAL and _module(item) == _SUITE
            if not (generic and rule_of(item) in seen):
                kept.append(item)
            if generic:
                seen.add(rule_of(item))
        items[:] = kept

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[Any]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """A rule that needs what nobody wrote is skipped, in classes that the suite made."""
        report = yield
        error = None if call.excinfo is None else call.excinfo.value
        if isinstance(error, NotImplementedError) and _is_made(item):
            path, line, _ = item.location
            report.outcome = "skipped"
            report.longrepr = (path, line or 0, f"{NOT_IMPLEMENTED}{error}")
        elif isinstance(error, CompileError) and error.log:
            report.user_properties.append(("log", error.log))
        return report


def group_of(item: pytest.Item) -> str:
    """The group of a rule: the module of the kit that it stands in, or `own`."""
    home = str(getattr(getattr(item, "function", None), "__module__", ""))
    package, _, name = home.rpartition(".")
    return name if package == "deepseek_core.testing" else "own"


def rule_of(item: pytest.Item) -> str:
    """The name of the test, without parameters."""
    return str(getattr(item, "originalname", None) or item.name)


def _is_made(item: pytest.Item) -> bool:
    cls = getattr(item, "cls", None)
    return bool(getattr(cls, "generated", False))


def _module(item: pytest.Item) -> str:
    return str(getattr(getattr(item, "module", None), "__name__", ""))
