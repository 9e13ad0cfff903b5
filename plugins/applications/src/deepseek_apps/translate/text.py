"""Lines of text read strictly: one encoding, no hidden characters, no surprise about lines."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Final

from deepseek_core import console, errors

_MARKS: Final = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]|\r(?!$)")
LONGEST_LINE: Final = 20_000
"""Characters; a longer line is no sentence."""


def read_lines(path: Path) -> list[str]:
    """Lines of a file in UTF-8, plain or gzip, each as `clean` leaves it.

    A byte-order mark of UTF-8 and CR LF are taken; only LF ends a line.

    Raises:
        InputError: it can't be read, is of another encoding, or has characters that no text has.
    """
    return [clean(line, where) for line, where in _lines(path)]


def read_columns(path: Path) -> list[tuple[str, str]]:
    """The first two columns of a table with tabs, each as `clean` leaves it.

    Raises:
        InputError: as of `read_lines`, or a line has no tab.
    """
    rows = []
    for line, where in _lines(path):
        cells = line.split("\t")
        if len(cells) < 2:
            raise errors.InputError(
                f"{where} has no tab",
                remedy="give source, tab, target in each line; more columns are not read",
            )
        rows.append((clean(cells[0], where), clean(cells[1], where)))
    return rows


def _lines(path: Path) -> list[tuple[str, str]]:
    """Lines as they stand, each with the place to name."""
    lines = _decoded(console.read_content(path), path).split("\n")
    if not lines[-1]:
        lines.pop()
    return [(line, f"{path}, line {number}") for number, line in enumerate(lines, 1)]


def clean(line: str, where: str) -> str:
    """The line in NFC, with single spaces and none at its ends.

    Raises:
        InputError: it has control characters or half of a character, or is too long.
    """
    if len(line) > LONGEST_LINE:
        raise errors.InputError(
            f"{where} has {len(line):,} characters, and at most {LONGEST_LINE:,} make a line",
            remedy="divide it into sentences, one a line",
        )
    found = _CONTROL.search(line)
    if found:
        raise errors.InputError(
            f"{where} has the character U+{ord(found.group()):04X} at column "
            f"{found.start() + 1}, which is no text",
            remedy="export the text as UTF-8 once more, or remove the character",
        )
    return " ".join(unicodedata.normalize("NFC", line).split())


def key(text: str) -> str:
    """What two texts share that differ in case, width, spaces and punctuation alone."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = [c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in folded]
    return " ".join("".join(kept).split()) or folded


def _decoded(content: bytes, path: Path) -> str:
    for mark, name in _MARKS.items():
        if content.startswith(mark):
            raise errors.InputError(
                f"{path} is in {name}",
                remedy=f"iconv -f {name} -t UTF-8 {path} > {path}.utf8",
            )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise errors.InputError(
            f"{path}, line {line} is not UTF-8: byte 0x{content[error.start]:02x}",
            remedy="see what encoding it has (file -i); where it is Latin-1: "
            f"iconv -f ISO-8859-1 -t UTF-8 {path} > {path}.utf8",
        ) from error
