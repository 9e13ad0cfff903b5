"""Tokens that no text contains, at the same numbers in every vocabulary."""

from __future__ import annotations

from typing import Final

UNKNOWN: Final = 0
BEGIN: Final = 1
END: Final = 2
PAD: Final = 3
GAP: Final = 4
"""Stands for a word that was taken out of a text, for the model to put in."""
NOISED: Final = 5
"""Second token of a source that is a target with noise, not a text of another language."""
SPARE: Final = 8
"""Positions for what is put around a text, and some to spare."""
NAMES: Final = ("<unk>", "<s>", "</s>", "<pad>", "<gap>", "<noised>")


def tag(language: str) -> str:
    """The first token of a source: the language to translate into."""
    return f"<2{language}>"
