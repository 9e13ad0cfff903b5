"""How a store shows itself: in a line, and in a notebook."""

from __future__ import annotations

from html import escape
from typing import Final

from deepseek_core import console
from deepseek_store.home.state import State

_SCROLLS: Final = 'style="overflow-x:auto" tabindex="0" role="region"'


def store_line(home: str, state: State) -> str:
    """How much there is, as far as this process knows without asking anybody."""
    count = len(state.catalog)
    what = "1 object" if count == 1 else f"{count:,} objects"
    stored = [f"{console.format_bytes(n)} {tier}" for tier, n in _stored(state).items() if n]
    return f"Store({home!r}: {what}; {', '.join(stored) or 'nothing stored'})"


def store_html(home: str, state: State) -> str:
    """A small table without style sheet or script: what lies in each tier."""
    title = f"Store {home}"
    told = f"{len(state.catalog):,} objects, {len(state.pins):,} pinned"
    rows = "".join(
        f"<tr><td>{tier}</td><td>{console.format_bytes(nbytes)}</td></tr>"
        for tier, nbytes in _stored(state).items()
    )
    return (
        f'<div {_SCROLLS} aria-label="{escape(title)}"><p><b>{escape(title)}</b>: {told}</p><table>'
        '<thead><tr><th scope="col">tier</th><th scope="col">stored</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _stored(state: State) -> dict[str, int]:
    """Bytes by tier; empty while another thread changes what is counted."""
    try:
        return state.stored_nbytes()
    except RuntimeError:  # a dict that changed while it was read
        return {}
