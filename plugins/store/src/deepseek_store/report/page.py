"""The status page: one self-contained HTML file, in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from deepseek_core import console
from deepseek_store.commands import command
from deepseek_store.home.findings import KeptFinding
from deepseek_store.planning.policy import TIERS
from deepseek_store.report.status import BORDERS, StoreStatus, TierStatus

if TYPE_CHECKING:
    from deepseek_store.planning.moves import MovePlan

_MOST_MOVES: Final = 40
_MOST_FINDINGS: Final = 40
_WIDTH, _LABEL, _ROW, _TALL = 480, 48, 36, 146


def write_status_page(
    path: Path, status: StoreStatus, moves: MovePlan | None, refusal: str = ""
) -> None:
    """Write the page whole or not at all; `refusal` says why there is no plan."""
    sections = (
        _figures(status),
        _troubles(status),
        f"<h2>Where bytes lie</h2>{_bytes_chart(status.tiers)}{_tiers(status.tiers)}",
        f"<h2>Heat</h2>{_heat_chart(status)}",
        f"<h2>Durability</h2>{_durability(status.tiers)}",
        f"<h2>Moves that are due</h2>{_moves(moves, refusal)}",
        f"<h2>Last rounds of moves</h2>{_rounds(status)}",
        f"<h2>Cache and prefetch</h2>{_cache(status)}",
    )
    title = f"Store {Path(status.home).name or status.home}"
    console.write_html(path, title, "".join(sections))


def _figures(status: StoreStatus) -> str:
    rate = status.counts.cache_hit_rate
    figures = [
        (f"{status.objects:,}", "objects"),
        (console.format_bytes(status.objects_nbytes), "of objects"),
        (console.format_bytes(status.stored_nbytes), "stored, index included"),
        ("-" if status.efficiency is None else f"{status.efficiency:.1%}", "storage efficiency"),
        ("-" if rate is None else f"{rate:.1%}", "cache hits"),
        (f"{status.snapshots:,}", "snapshots"),
        (f"{status.pins:,}", "pinned objects"),
    ]
    boxes = "".join(
        f"<div><b>{escape(value)}</b><span>{escape(name)}</span></div>" for value, name in figures
    )
    when = f"{escape(status.home)}, {_when(status.at_s)}"
    return f'<p class="soft">{when}</p><div class="figures">{boxes}</div>'


def _troubles(status: StoreStatus) -> str:
    told = [status.verdict] if not status.healthy else []
    told += [f"{tier.name} can't be reached: {tier.unreachable}" for tier in status.tiers
             if tier.unreachable]  # fmt: skip
    told += [f"{tier.name}: {place} is away: {why}" for tier in status.tiers
             if not tier.unreachable for place, why in tier.away.items()]  # fmt: skip
    told += [f"{tier.name}: {tier.stripes_hurt:,} stripes lack fragments, "
             f"{tier.stripes_unreadable:,} of them can't be read now" for tier in status.tiers
             if tier.stripes_hurt]  # fmt: skip
    told += [f"{tier.name}: {tier.refused}" for tier in status.tiers if tier.refused]
    if status.damaged:
        mend = command("repair", status.home)
        told.append(f"{status.damaged:,} segments or stripes are damaged: {mend}")
    if status.counts.degraded or status.counts.faults:
        told.append(
            f"{status.counts.degraded:,} degraded reads and {status.counts.faults:,} faults "
            "were met by readers so far"
        )
    told += [f"on opening: {line}" for line in status.recovered]
    if not told:
        return '<p class="soft">No faults, no degraded reads.</p>'
    lines = "".join(f'<p class="bad">{escape(line)}</p>' for line in told)
    return lines + _findings(status.findings)


def _findings(findings: Sequence[KeptFinding]) -> str:
    """What was found by any process, and is not healed."""
    if not findings:
        return ""
    rows = [
        (each.where, each.kind, each.detail, _when(each.first_s), _when(each.last_s), each.times)
        for each in findings[:_MOST_FINDINGS]
    ]
    more = len(findings) - len(rows)
    note = f'<p class="soft">and {more:,} more</p>' if more else ""
    head = ("what", "is", "how", "first", "last", "times")
    return console.table(head, rows, name="Findings") + note


def _bytes_chart(tiers: Sequence[TierStatus]) -> str:
    """A bar for each tier, as long as what is stored there."""
    most = max((tier.stored_nbytes for tier in tiers), default=0) or 1
    rows = "".join(_bytes_row(number, tier, most) for number, tier in enumerate(tiers))
    shown = {tier.name: f"var(--{tier.name})" for tier in tiers}
    legend = console.legend(shown | {"garbage, until gc": "var(--waste)"})
    note = '<p class="soft">Pale: parities and copies, which a loss would be repaired from.</p>'
    size = _WIDTH, len(tiers) * _ROW + 6
    return legend + console.figure(rows, size, "Bytes stored in each tier", most=640) + note


def _bytes_row(number: int, tier: TierStatus, most: int) -> str:
    name, y = tier.name, number * _ROW
    scale = (_WIDTH - _LABEL - 8) / most
    bars, x = "", float(_LABEL)
    for what, nbytes, look in (
        ("needed", tier.live_nbytes, name),
        ("parities and copies", tier.redundancy_nbytes, f"{name} more"),
        ("garbage", tier.garbage_nbytes, "waste"),
    ):
        width = nbytes * scale
        tip = f"{name}: {console.format_bytes(nbytes)} {what}"
        bars += _rect(look, (x, y + 19, width, 14), tip) if nbytes else ""
        x += width
    stored = console.format_bytes(tier.stored_nbytes)
    share = "" if tier.efficiency is None else f", {tier.efficiency:.0%} of it needed"
    label = f"{stored}{share}{', simulated' if tier.simulated else ''}"
    return (
        f'<text class="name" x="8" y="{y + 30}">{name}</text>'
        f'<text x="{_LABEL}" y="{y + 15}">{escape(label)}</text>{bars}'
    )


def _tiers(tiers: Sequence[TierStatus]) -> str:
    head = ("tier", "objects", "size", "stored", "free", "capacity", "code of new stripes",
            "stripes", "medium", "failure domains")  # fmt: skip
    both = (
        "A read of an object goes to its tier. Segments of the log that are in a warm stripe too "
        "count in both: when they cool, only the log's copy goes."
    )
    places = "".join(
        f'<p class="soft">{tier.name}: {escape(", ".join(tier.places))}</p>' for tier in tiers
    )
    rows = [_tier_row(tier) for tier in tiers]
    return f'<p class="soft">{both}</p>{console.table(head, rows, name="Tiers")}{places}'


def _tier_row(tier: TierStatus) -> tuple[str, ...]:
    codes = ", ".join(f"{number} {code}" for code, number in tier.codes.items())
    there = _domains(tier)
    domains = f"{there}{' simulated' if tier.simulated else ''}" if there != "0" else "-"
    return (
        tier.name,
        f"{tier.objects:,}",
        console.format_bytes(tier.objects_nbytes),
        console.format_bytes(tier.stored_nbytes),
        _bytes_or_none(tier.free_nbytes),
        _bytes_or_none(tier.capacity_nbytes),
        tier.choice.code.name if tier.choice is not None else tier.refused or "-",
        codes or "-",
        tier.medium or "-",
        domains,
    )


def _heat_chart(status: StoreStatus) -> str:
    """Objects by reads a day, stacked by tier."""
    most = max((sum(bin_.values()) for bin_ in status.heat_bins), default=0)
    if not most:
        return '<p class="soft">There are no objects yet.</p>'
    step = (_WIDTH - 8) / len(status.heat_bins)
    drawn = ""
    for number, (bin_, name) in enumerate(zip(status.heat_bins, _bin_names(), strict=True)):
        x, y = 4 + number * step, float(_TALL)
        for tier in reversed(TIERS):
            height = bin_[tier] / most * (_TALL - 38)
            y -= height
            tip = f"{bin_[tier]:,} objects in {tier}, {name} reads a day"
            drawn += _rect(tier, (x + 5, y, step - 10, height), tip) if bin_[tier] else ""
        total = sum(bin_.values())
        if total:
            drawn += _text(x + step / 2, y - 5, f"{total:,}")
        drawn += _text(x + step / 2, _TALL + 15, name)
    base = f'<line x1="4" y1="{_TALL}" x2="{_WIDTH - 4}" y2="{_TALL}"/>'
    titles = (
        f'<text class="title" x="4" y="14">objects</text><text class="title" x="{_WIDTH / 2}" '
        f'y="{_TALL + 33}" text-anchor="middle">reads a day, as they have decayed by now</text>'
    )
    legend = console.legend({tier: f"var(--{tier})" for tier in TIERS})
    size = _WIDTH, _TALL + 40
    return legend + console.figure(base + drawn + titles, size, "Objects by reads a day", most=640)


def _bin_names() -> list[str]:
    between = [f"{low:g}-{high:g}" for low, high in pairwise(BORDERS)]
    return [f"&lt;{BORDERS[0]:g}", *between, f"&gt;{BORDERS[-1]:g}"]


def _domains(tier: TierStatus) -> str:
    """How many domains are there, and of how many."""
    if tier.domains == tier.domains_configured:
        return str(tier.domains)
    return f"{tier.domains} (of {tier.domains_configured})"


def _durability(tiers: Sequence[TierStatus]) -> str:
    rows = [
        (
            tier.name,
            tier.choice.code.name,
            f"{tier.choice.efficiency:.3f}",
            f"{tier.choice.domain_losses} of {_domains(tier)}",
            *(f"{nines:.1f}" for nines in tier.choice.nines.values()),
            "simulated" if tier.simulated else "as configured",
        )
        for tier in tiers
        if tier.choice is not None
    ]
    head = ("tier", "code", "efficiency", "domains that may fail", "nines: equal repairs",
            "bound by bandwidth", "and latent errors", "domains")  # fmt: skip
    note = (
        "Nines of annual durability of a stripe by a Markov model under three models of repair; "
        "correlated losses are not in it. Simulated domains share a device and fail together."
    )
    return f'<p class="soft">{note}</p>{console.table(head, rows, name="Durability")}'


def _moves(moves: MovePlan | None, refusal: str) -> str:
    if moves is None:
        return f'<p class="bad">{escape(refusal)}</p>'
    last = moves.sentences()[len(moves) :]
    told = "".join(f"<p>{escape(line)}.</p>" for line in last)
    shown = [
        (
            move.kind,
            f"{len(move.keys)} objects" if len(move.keys) > 1 else "".join(move.keys) or "-",
            len(move.segments) or "-",
            console.format_bytes(move.nbytes),
            f"{move.source} to {move.target}" if move.source != move.target else move.source,
            move.reason,
        )
        for move in moves.moves[:_MOST_MOVES]
    ]
    if not shown:
        return told
    left_out = len(moves) - len(shown)
    note = f'<p class="soft">and {left_out:,} more</p>' if left_out else ""
    head = ("move", "objects", "segments", "size", "where", "why")
    return told + console.table(head, shown, name="Moves") + note


def _rounds(status: StoreStatus) -> str:
    ticks = sorted(
        (tick for entry in status.entries for tick in entry.ticks), key=lambda tick: -tick["at_s"]
    )
    if not ticks:
        return '<p class="soft">No moves yet: none was due, or background moves are off.</p>'
    return console.table(("when", "moves", "freed", "ended by"), map(_round, ticks), name="Rounds")


def _round(tick: Any) -> tuple[str, ...]:
    freed = console.format_bytes(tick.get("freed_nbytes", 0))
    return _when(tick["at_s"]), str(tick.get("moves", 0)), freed, tick.get("error") or "its end"


def _cache(status: StoreStatus) -> str:
    counts = status.counts
    newest = next((entry for entry in status.entries if entry.why), None)
    rows = [
        ("requests for shards of warm and cold objects", counts.cache_hits + counts.cache_misses),
        ("cache hits", counts.cache_hits),
        ("fetched from tiers", counts.fetched),
        ("prefetched", counts.prefetched),
        ("prefetched and read", counts.prefetched_used),
        ("sources of prefetching", " and ".join(newest.acting) or "none" if newest else "none"),
        ("because", newest.why if newest else "nothing was read from a tier yet"),
    ]
    shown = [(name, f"{value:,}" if isinstance(value, int) else value) for name, value in rows]
    return console.table(("what", "since the store was made"), shown)


def _rect(look: str, box: tuple[float, float, float, float], tip: str) -> str:
    """A box of x, y, width and height, with a text for the mouse."""
    x, y, width, height = box
    return (
        f'<rect class="{look}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.8):.1f}" '
        f'height="{max(height, 0.8):.1f}"><title>{escape(tip)}</title></rect>'
    )


def _text(x: float, y: float, text: str) -> str:
    """Centered; `text` may hold entities."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{text}</text>'


def _bytes_or_none(nbytes: int | None) -> str:
    return "-" if nbytes is None else console.format_bytes(nbytes)


def _when(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
