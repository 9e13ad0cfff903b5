"""How sessions, plans and servers show themselves: in a line, and in a notebook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import TYPE_CHECKING, Final

from deepseek_core.contracts.units import counted

if TYPE_CHECKING:
    from deepseek_core.contracts.graph import Graph
    from deepseek_core.runtime.pool import DevicePool
    from deepseek_core.schedule.problem import Placement, Problem

_MOST: Final = 3  # stages or devices that a line names
_SCROLLS: Final = 'style="overflow-x:auto" tabindex="0" role="region"'


def session_line(pool: DevicePool, plans: int) -> str:
    """The devices that can be used, and how many plans there are."""
    if pool.is_closed:
        return "<Session, closed>"
    usable = [info.id for info in pool.infos if info.status == "available"]
    return f"<Session: {_listed(usable) or 'no devices'}; {counted(plans, 'plan')}>"


def server_line(graph: str, devices: Iterable[str], *, closed: bool) -> str:
    """What is served, and where."""
    return f"<Server of {graph}, closed>" if closed else f"<Server of {graph}: {_listed(devices)}>"


def plan_line(name: str, devices: Mapping[str, str], placement: Placement | None) -> str:
    """Where each stage runs, and what that gives where it was decided."""
    if len(set(devices.values())) == 1:
        where = f"all on {next(iter(devices.values()))}"
    else:
        where = _listed(f"{stage} on {device}" for stage, device in devices.items())
    if placement is None:
        return f"<Plan of {name}: {where}>"
    from deepseek_core.schedule import sentences

    return f"<Plan of {name}: {where}; {sentences.value(placement)}>"


def plan_html(graph: Graph, problem: Problem, placement: Placement) -> str:
    """A small table for notebooks: stages, devices, times, what these are known from."""
    from deepseek_core.schedule import sentences

    rows = []
    for stage in problem.stages:
        shares = placement.shares(stage.name)
        device = max(shares, key=lambda name: shares[name])
        cost = next(c.estimate for c in stage.candidates if c.device_id == device)
        told = ("", "") if cost is None else sentences.cost(cost)
        rows.append((stage.name, " and ".join(shares), *told))
    text = f"{sentences.outcome(problem, placement)} {graph.batch_text}."
    head = "stage", "device", "time of one batch", "known from"
    return small_table(f"Plan of {graph.name}", text, head, rows)


def small_table(
    title: str, text: str, head: Iterable[str], rows: Iterable[Iterable[object]]
) -> str:
    """HTML without style sheet or script, for a cell of a notebook; all of it is escaped."""
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div {_SCROLLS} aria-label="{escape(title)}"><p><b>{escape(title)}</b>: {escape(text)}'
        f"</p><table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _listed(names: Iterable[str]) -> str:
    found = list(names)
    more = len(found) - _MOST
    return ", ".join(found[:_MOST]) + (f" and {more} more" if more > 0 else "")
