"""Keys as paths of files, and back. Pure.

An object lies where its key says: `stripes/00ab/3` is the file `stripes/00ab/3.obj`, so that `a`
and `a/b` may both be objects. What begins with a dot is the tier's own. Escapes keep it reversible:

- `%` is written `%25`, a dot in front `%2E`, and a folder `x.obj` is written `x%2Eobj`;
- a part of more than `CHUNK_NBYTES` is cut; a piece that goes on below is a folder named `piece%+`.
"""

from __future__ import annotations

from typing import Final

OWN: Final = ".ds"
"""The folder of a volume that holds no objects."""

OBJECT: Final = ".obj"
CHUNK_NBYTES: Final = 200  # escapes may add to it; file systems allow 255
_CONTINUES: Final = "%+"


def path_of(key: str) -> str:
    """The relative path of an object's file."""
    *parents, last = key.split("/")
    folder = "".join(f"{_folder(part)}/" for part in parents)
    *pieces, end = _pieces(last)
    return folder + "".join(f"{_escape(p)}{_CONTINUES}/" for p in pieces) + _escape(end) + OBJECT


def folder_of(prefix: str) -> tuple[str, str]:
    """The folder in which all objects of a prefix lie, and the part of the prefix that it is.

    Both are empty or end in `/`.
    """
    parents = prefix.split("/")[:-1]
    return "".join(f"{_folder(part)}/" for part in parents), "".join(f"{p}/" for p in parents)


def read_file(name: str) -> str | None:
    """What a file's name adds to the key; None if it is not an object."""
    if not name.endswith(OBJECT) or name.startswith("."):
        return None
    return _unescape(name.removesuffix(OBJECT))


def read_folder(name: str) -> str | None:
    """What a folder's name adds to the keys below; None if it holds no objects."""
    if name.startswith(".") or name.endswith(OBJECT):
        return None
    if name.endswith(_CONTINUES):
        return _unescape(name.removesuffix(_CONTINUES))
    return _unescape(name) + "/"


def _folder(part: str) -> str:
    *pieces, end = _pieces(part)
    name = _escape(end)
    if name.endswith(OBJECT):
        name = f"{name.removesuffix(OBJECT)}%2Eobj"
    return "".join(f"{_escape(piece)}{_CONTINUES}/" for piece in pieces) + name


def _pieces(part: str) -> list[str]:
    """The part cut into pieces of `CHUNK_NBYTES` of UTF-8 at most, between characters."""
    if len(part) * 4 <= CHUNK_NBYTES:
        return [part]
    pieces, rest = [], _escape(part).encode()
    while len(rest) > CHUNK_NBYTES:
        cut = _cut(rest)
        pieces.append(_unescape(rest[:cut].decode()))
        rest = rest[cut:]
    return [*pieces, _unescape(rest.decode())]


def _cut(escaped: bytes) -> int:
    """Where to cut: neither within a character nor within an escape."""
    cut = CHUNK_NBYTES
    while escaped[cut] & 0xC0 == 0x80:
        cut -= 1
    percent = escaped.rfind(b"%", cut - 2, cut)
    return cut if percent < 0 else percent


def _escape(text: str) -> str:
    escaped = text.replace("%", "%25")
    return f"%2E{escaped[1:]}" if escaped.startswith(".") else escaped


def _unescape(name: str) -> str:
    return name.replace("%2E", ".").replace("%25", "%")
