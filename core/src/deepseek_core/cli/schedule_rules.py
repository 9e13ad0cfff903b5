"""The table of `ds-sdk schedule --algorithm all`: the search beside every published rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from deepseek_core.cli.table import render_table
from deepseek_core.contracts.errors import GraphError
from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.dag.rules import RULES, schedule_by
from deepseek_core.schedule.dag.schedule import Schedule

_SAME: Final = 1e-9
_MOST_LOOKED_AT: Final = 5000  # tasks; lookahead takes a second for each thousand


def beside_rules(graph: TaskGraph, ours: Schedule) -> str:
    """A row for the search and each rule, and a sentence about where the search stands."""
    found, failed = dict[str, float](), dict[str, str]()
    for rule in RULES:
        if rule == "lookahead" and len(graph.tasks) > _MOST_LOOKED_AT:
            failed[rule] = f"left out: too slow for more than {_MOST_LOOKED_AT} tasks"
            continue
        try:
            found[rule] = schedule_by(rule, graph).makespan
        except GraphError as error:
            failed[rule] = error.message
    rows = [("best", f"{ours.makespan:.9g} {ours.unit}", "")]
    rows += [
        (rule, f"{value:.9g} {ours.unit}", _longer(value, ours.makespan))
        for rule, value in sorted(found.items(), key=lambda item: item[1])
    ]
    rows += [(rule, "-", reason) for rule, reason in failed.items()]
    return f"{render_table(('algorithm', 'makespan', 'against best'), rows)}\n{why(ours, found)}"


def _longer(value: float, ours: float) -> str:
    return f"{value / ours - 1:+.2%}" if ours else ""


def why(ours: Schedule, found: Mapping[str, float]) -> str:
    """Where the search wins, or why it does not."""
    if not found:
        return "no rule found a schedule within the memory of the devices; the search did."
    least = min(found.values())
    names = ", ".join(rule for rule, value in found.items() if value <= least * (1 + _SAME))
    if ours.makespan < least * (1 - _SAME):
        return f"the search is {1 - ours.makespan / least:.2%} shorter than the best rule, {names}."
    if ours.makespan > least * (1 + _SAME):
        return (
            f"{names} is {1 - least / ours.makespan:.2%} shorter: the search did not come upon it "
            "within its budget; --budget-ms gives it more."
        )
    if ours.gap <= _SAME:
        return f"{names} found it, too: it meets the lower bound, and nothing is shorter."
    return (
        f"{names} found it, too, and the search nothing shorter within its budget; the lower "
        f"bound allows {1 - ours.lower_bound / ours.makespan:.2%}."
    )
