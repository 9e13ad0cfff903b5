"""Changing one list of the configuration file and nothing else: comments stay where they are."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.files import whole_file

_HEADER: Final = re.compile(r"^[ \t]*\[\s*plugins\s*\][ \t]*(#[^\r\n]*)?\r?$", re.MULTILINE)
_ANY_HEADER: Final = re.compile(r"^[ \t]*\[", re.MULTILINE)
# A string of TOML, or a comment, or what structures an array.
_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:[^"\\\n]|\\.)*"|'[^'\n]*')|(?P<comment>\#[^\n]*)|(?P<mark>[\[\],])"""
)


@attrs.frozen(kw_only=True)
class _Array:
    """An array of strings in a text: `start` and `end` of its brackets, `items` within."""

    start: int
    end: int
    items: tuple[tuple[int, int, str], ...]


def change_list(
    path: Path, key: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
) -> bool:
    """Add names to, and remove them from, a list under `[plugins]`; False if nothing changed.

    The file appears whole or not at all; a link to it stays a link.

    Raises:
        ConfigError: the file is not TOML, can't be written, or spells the list in a way that is
            not understood here.
    """
    old = _read(path)
    new = old
    for name in remove:
        new = _without(new, key, name)
    for name in add:
        new = _with(new, key, name)
    if new == old:
        return False
    _verify(path, old, new, key, add=add, remove=remove)
    _write(path, new)
    return True


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", remedy="make it a readable TOML file") from error


def _write(path: Path, text: str) -> None:
    target = path.resolve()
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            whole_file(target) as partial,
            partial.open("w", encoding="utf-8", newline="") as file,
        ):
            if target.exists():
                partial.chmod(target.stat().st_mode & 0o777)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(f"{path}: {error}", remedy="make it writable") from error


def _verify(
    path: Path, old: str, new: str, key: str, *, add: Sequence[str], remove: Sequence[str]
) -> None:
    """What was written must mean the old file with this one change, or it is not written."""
    by_hand = f"edit the list {key!r} under [plugins] by hand"
    try:
        before, after = tomllib.loads(old), tomllib.loads(new)
        table = before.setdefault("plugins", {})
        kept = [name for name in table.get(key, []) if name not in remove]
        table[key] = [*kept, *(name for name in add if name not in kept)]
    except (tomllib.TOMLDecodeError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}", remedy=by_hand) from error
    if before != after:
        raise ConfigError(f"{path} spells {key!r} in an unusual way", remedy=by_hand)


def _with(text: str, key: str, name: str) -> str:
    array = _find(text, key)
    if array is None:
        return _new_list(text, key, name)
    if any(item == name for _start, _end, item in array.items):
        return text
    if not array.items:
        place = array.start + 1
        return f"{text[:place]}{_quoted(name)}{text[place:]}"
    start, end, _item = array.items[-1]
    # The new name stands as the last one does: on a line of its own, or behind it.
    before = text[text.rfind("\n", 0, start) + 1 : start]
    gap = f"{_newline(text)}{before}" if before.strip() == "" and before != text[:start] else " "
    return f"{text[:end]},{gap}{_quoted(name)}{text[end:]}"


def _without(text: str, key: str, name: str) -> str:
    array = _find(text, key)
    spans = [(s, e) for s, e, item in array.items if item == name] if array else []
    for start, end in reversed(spans):
        comma = re.compile(r"[ \t]*,[ \t]*").match(text, end)
        before = text[:start]
        if comma is None:  # the last one: the comma before it goes
            before = re.sub(r",[ \t]*$", "", before)
        after = text[comma.end() if comma else end :]
        text = _without_empty_line(before, after)
    return text


def _without_empty_line(before: str, after: str) -> str:
    blank = before[before.rfind("\n") + 1 :].strip() == ""
    rest = re.match(r"[ \t]*\r?\n", after)
    if blank and rest and "\n" in before:
        return before[: before.rfind("\n") + 1] + after[rest.end() :]
    return before + after


def _new_list(text: str, key: str, name: str) -> str:
    line, end = f"{key} = [{_quoted(name)}]", _newline(text)
    header = _HEADER.search(text)
    if header is None:
        gap = "" if not text else end if text.endswith("\n") else end * 2
        return f"{text}{gap}[plugins]{end}{line}{end}"
    after = header.end()
    rest = text[after:].removeprefix("\r").removeprefix("\n")
    return f"{text[:after].rstrip(chr(13))}{end}{line}{end}{rest}"


def _find(text: str, key: str) -> _Array | None:
    """The list of this key in the table `[plugins]`; None if it is not there."""
    header = _HEADER.search(text)
    if header is None:
        return None
    following = _ANY_HEADER.search(text, header.end())
    limit = following.start() if following else len(text)
    entry = re.compile(rf"^[ \t]*{key}[ \t]*=[ \t]*(?=\[)", re.MULTILINE)
    found = entry.search(text, header.end(), limit)
    # An array over several lines may have lines that begin with a bracket.
    return _array(text, found.end()) if found else None


def _array(text: str, start: int) -> _Array | None:
    items: list[tuple[int, int, str]] = []
    depth = 0
    for token in _TOKEN.finditer(text, start):
        if token["text"]:
            value: Any = tomllib.loads(f"x = {token['text']}")["x"]
            items.append((token.start(), token.end(), value))
        depth += {"[": 1, "]": -1}.get(token["mark"] or "", 0)
        if depth == 0 and token["mark"] == "]":
            return _Array(start=start, end=token.end(), items=tuple(items))
    return None


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
