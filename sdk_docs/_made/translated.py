"""Pages in Chinese: their blocks of code and output are those of the English page.

A page `zh/PATH.md` has the prose only; a line `<!-- block -->` becomes the next fenced block of
`PATH.md`. So what a command prints stands in one place, and is tested there. `zh/stamps.txt` has a
hash of the English prose that each page was translated from.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

DOCS: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = DOCS / "zh"
MARK: Final = "<!-- block -->"
_BREAK: Final = re.compile(r"(?<=[^\x00-\x7f])\n(?=[^\x00-\x7f])")  # it would show as a space
_FENCE: Final = re.compile(r"^```\w*[^\n`]*\n.*?^```$", re.M | re.S)


def english_of(page: Path) -> Path:
    """The page that this one is a translation of."""
    return DOCS / page.relative_to(FOLDER)


def fences_of(text: str) -> list[str]:
    """All fenced blocks, whole."""
    return _FENCE.findall(text)


def prose_of(text: str) -> str:
    """A page without blocks, as one line."""
    return " ".join(_FENCE.sub("", text).split())


def stamp_of(text: str) -> str:
    """What changes when the English prose does; its blocks may change freely."""
    return hashlib.sha256(prose_of(text).encode()).hexdigest()[:12]


def filled(markdown: str, english: str) -> str:
    """A Chinese page with the blocks of the English one, marked as Chinese for screen readers.

    Raises:
        ValueError: it has another number of marks than the English page has blocks.
    """
    fences = fences_of(english)
    if markdown.count(MARK) != len(fences):
        raise ValueError(f"{markdown.count(MARK)} marks for {len(fences)} blocks")
    markdown = _BREAK.sub("", markdown)
    for fence in fences:
        markdown = markdown.replace(MARK, fence, 1)
    return f'<div lang="zh-CN" markdown="1">\n\n{markdown}\n\n</div>'
