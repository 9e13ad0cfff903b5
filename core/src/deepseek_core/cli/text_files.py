"""Text files, plain or gzip, read strictly: one encoding, named lines, no guessing."""

from __future__ import annotations

import codecs
import gzip
import zlib
from pathlib import Path
from typing import Final

from deepseek_core.contracts.errors import ConfigError, InputError

MOST_NBYTES: Final = 2 << 30
_GZIP: Final = b"\x1f\x8b"
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_OTHERS: Final = {
    b"PAR1\x15": "a Parquet file", b"PK\x03\x04": "a zip archive, as spreadsheets (.xlsx) are",
    b"\xd0\xcf\x11\xe0": "a spreadsheet or document of old Office", b"\x89HDF": "an HDF5 file",
    b"ARROW1\0": "an Arrow file", b"SQLite format 3\0": "a database of SQLite",
    b"\x80\x04": "a pickle", b"BZh91AY&SY": "packed by bzip2", b"\xfd7zXZ\x00": "packed by xz",
    b"\x28\xb5\x2f\xfd": "packed by zstd",
}  # fmt: skip
"""What files begin with that people take for text; no text begins so."""


def read_text(path: Path, *, encoding: str = "utf-8", most_nbytes: int = MOST_NBYTES) -> str:
    """The text of a file, line ends as line feeds; a byte-order mark decides the encoding.

    Raises:
        InputError: no such file, a larger one, one of a kind that is not text, bytes that are not
            of the encoding (says in which line), or a NUL character.
        ConfigError: there is no such encoding.
    """
    content = read_content(path, most_nbytes=most_nbytes)
    try:
        text = content.decode(_marked(content) or encoding)
    except LookupError as error:
        raise ConfigError(
            f"there is no encoding {encoding!r}", remedy="give utf-8, cp1252, gb18030, ..."
        ) from error
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{content[error.start]:02x} is not {error.encoding}",
            remedy=f"iconv -f cp1252 -t utf-8 {path.name} (or whatever encoding that line is in)",
        ) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(f"{path}, line {line}: a NUL character", remedy="remove it")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _marked(content: bytes) -> str | None:
    return next((name for mark, name in _MARKS if content.startswith(mark)), None)


def read_content(path: Path, *, most_nbytes: int = MOST_NBYTES) -> bytes:
    """See `console.read_content`."""
    try:
        with path.open("rb") as file:
            is_gzip = file.peek(2)[:2] == _GZIP  # a pipe can't go back
            content = (gzip.GzipFile(fileobj=file) if is_gzip else file).read(most_nbytes + 1)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            f"{path} is a damaged gzip file: {error}", remedy="fetch it once more"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path} can't be read: {error.strerror or error}", remedy="check the path"
        ) from error
    if len(content) > most_nbytes:
        raise InputError(
            f"{path} has more than {most_nbytes:,} bytes, which are not read",
            remedy="give a part of it",
        )
    other = next((kind for begin, kind in _OTHERS.items() if content.startswith(begin)), None)
    if other:
        raise InputError(
            f"{path} is {other}, not text", remedy="save or unpack it as text, such as CSV in UTF-8"
        )
    return content
