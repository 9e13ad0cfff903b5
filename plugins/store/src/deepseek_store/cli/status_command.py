"""`ds-sdk store status`: the store at one moment, as text, JSON or a page."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from deepseek_core import DeepSeekError, console
from deepseek_store.cli.common import Command, add_home, add_json, open_store, tell
from deepseek_store.commands import command
from deepseek_store.planning.amounts import counted

if TYPE_CHECKING:
    from deepseek_store.planning.moves import MovePlan
    from deepseek_store.report.status import StoreStatus, TierStatus
    from deepseek_store.store import Store

_BAR: Final = 30
_MOST_FINDINGS: Final = 10

_EXAMPLES: Final = """examples:
  ds-sdk store status data
  ds-sdk store status data --html status.html     a page for a browser, one file
  ds-sdk store status data --json"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    parser.add_argument("--html", metavar="FILE", help="write a page")
    add_json(parser)


def _run(args: argparse.Namespace) -> int:
    from deepseek_store.report.status import look

    console.check_writable(args.html)
    with open_store(args) as store:
        status = look(store)
        if args.html:
            from deepseek_store.report.page import write_status_page

            write_status_page(Path(args.html), status, *_planned(store))
    lines = [*_sentences(status)]
    if args.html:
        lines.append(f"page: {args.html}")
    tell(status.to_json(), "\n".join(lines), as_json=args.json)
    return 0


def _planned(store: Store) -> tuple[MovePlan | None, str]:
    """The moves, or why none can be planned."""
    try:
        return store.maintenance.plan(), ""
    except DeepSeekError as error:
        return None, str(error)


def _sentences(status: StoreStatus) -> Iterator[str]:
    yield (
        f"{counted(status.objects, 'object')}, {console.format_bytes(status.objects_nbytes)}; "
        f"stored {console.format_bytes(status.stored_nbytes)}{_share(status.efficiency)}"
    )
    yield console.render_table(
        (
            "TIER",
            "OBJECTS",
            "SIZE",
            "STORED",
            "GARBAGE",
            "FREE",
            "STRIPES",
            "DOMAINS",
            "CODE",
            "NINES",
            "NOTE",
        ),
        [_row(tier) for tier in status.tiers],
        width=console.terminal_width(),
    )
    yield "heat, in reads a day:"
    yield from _histogram(status)
    yield from _counted(status)
    yield from _troubles(status)


def _share(efficiency: float | None) -> str:
    return "" if efficiency is None else f" (storage efficiency {efficiency:.1%})"


def _row(tier: TierStatus) -> tuple[str, ...]:
    least = min(tier.choice.nines.values()) if tier.choice is not None else None
    least = least if tier.nines_now is None else tier.nines_now
    return (
        tier.name,
        f"{tier.objects:,}",
        console.format_bytes(tier.objects_nbytes),
        console.format_bytes(tier.stored_nbytes),
        console.format_bytes(tier.garbage_nbytes),
        "-" if tier.free_nbytes is None else console.format_bytes(tier.free_nbytes),
        str(tier.stripes) if tier.name != "hot" else "-",
        _domains(tier),
        tier.choice.code.name if tier.choice is not None else "-",
        "-" if least is None else f"{least:.1f}",
        _note(tier),
    )


def _domains(tier: TierStatus) -> str:
    """Domains that are there now, and of how many."""
    if not tier.domains_configured:
        return "-"
    missing = tier.domains_configured - tier.domains
    return f"{tier.domains} of {tier.domains_configured}" if missing else str(tier.domains)


def _note(tier: TierStatus) -> str:
    hurt = f"{tier.stripes_hurt} stripes lack fragments" if tier.stripes_hurt else ""
    broken = f"{tier.stripes_unreadable} can't be read" if tier.stripes_unreadable else ""
    simulated = "simulated domains" if tier.simulated else ""
    notes = [tier.unreachable or _away(tier), tier.refused, hurt, broken, simulated]
    return "; ".join(note for note in notes if note) or "-"


def _away(tier: TierStatus) -> str:
    """What is not there of it, the first two by name."""
    named = [f"{place}: {why}" for place, why in list(tier.away.items())[:2]]
    more = len(tier.away) - len(named)
    return "; ".join([*named, *([f"{more} more away"] if more else [])])


def bin_names() -> list[str]:
    """What stands beside the bars of the histogram."""
    from deepseek_store.report.status import BORDERS

    names = [f"below {BORDERS[0]:g}"]
    names += [f"{low:g} to {high:g}" for low, high in pairwise(BORDERS)]
    return [*names, f"{BORDERS[-1]:g} and more"]


def _histogram(status: StoreStatus) -> Iterable[str]:
    totals = [sum(bin_.values()) for bin_ in status.heat_bins]
    most = max(totals, default=0) or 1
    for name, total in zip(bin_names(), totals, strict=True):
        bar = "#" * -(-total * _BAR // most)
        yield f"  {name:>14}  {total:>9,}  {bar}".rstrip()


def _counted(status: StoreStatus) -> Iterator[str]:
    counts = status.counts
    rate = counts.cache_hit_rate
    yield "cache: " + (
        "no requests yet"
        if rate is None
        else f"{rate:.1%} hits of {counts.cache_hits + counts.cache_misses:,} requests for shards"
    )
    newest = next((entry for entry in status.entries if entry.why), None)
    acting = "none" if newest is None else " and ".join(newest.acting) or "none"
    why = "" if newest is None else f" ({newest.why})"
    yield (
        f"prefetch: {counts.prefetched:,} shards, {counts.prefetched_used:,} of them read; "
        f"active sources: {acting}{why}"
    )
    yield f"moves: {counts.moves:,}; fetched from tiers: {counts.fetched:,} shards"


def _troubles(status: StoreStatus) -> Iterator[str]:
    counts = status.counts
    yield f"health: {status.verdict}"
    for each in status.findings[:_MOST_FINDINGS]:
        yield f"  {each}"
    if len(status.findings) > _MOST_FINDINGS:
        yield f"  and {len(status.findings) - _MOST_FINDINGS:,} more: --json lists them"
    if counts.degraded or counts.faults or status.damaged:
        yield (
            f"degraded reads: {counts.degraded:,}; faults met by readers: {counts.faults:,}; "
            f"damaged and not repaired: {status.damaged:,} -> {command('repair', status.home)}"
        )
    elif status.healthy:
        yield "no degraded reads, no faults"
    for line in status.recovered:
        yield f"opening it: {line}"


COMMANDS: Final = {
    "status": Command(add_arguments=_add_arguments, run=_run, examples=_EXAMPLES),
}
