"""Where the example of a public name is: headings of the example pages name what they show.

A heading `## Words: `A`, `B` { #anchor }` stands above the blocks that use A and B.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

import attrs

PAGES: Final = ("examples.md", "examples_plugins.md", "examples_engines.md")
_REFERENCE: Final = Path(__file__).resolve().parents[1] / "reference"
_HEADING: Final = re.compile(r"^## (.+?) \{ (#[\w-]+) \}$", re.M)


@attrs.frozen(kw_only=True)
class Place:
    """A section of an example page: a link to it, and all of its code."""

    link: str
    code: str


def where(name: str) -> Place | None:
    """The first section that names it and whose code uses it."""
    return _places().get(name)


def names_of(page: str) -> list[str]:
    """All that the headings of a page name."""
    text = (_REFERENCE / page).read_text(encoding="utf-8")
    return [
        name for title, _ in _HEADING.findall(text) for name in re.findall(r"`([\w.]+)`", title)
    ]


@cache
def _places() -> dict[str, Place]:
    found: dict[str, Place] = {}
    for page in PAGES:
        text = (_REFERENCE / page).read_text(encoding="utf-8")
        _, *parts = _HEADING.split(text)
        for title, anchor, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            code = "".join(re.findall(r"^```python\n(.*?)^```$", body, re.M | re.S))
            place = Place(link=f"{page}{anchor}", code=code)
            for path in re.findall(r"`([\w.]+)`", title + body.partition("```")[0]):
                name = path.rpartition(".")[2]
                if re.search(rf"\b{name}\b", code):
                    found.setdefault(name, place)
    return found
