"""Sizes and times as people read them, and checks that records share."""

from __future__ import annotations

import math
import operator
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ConfigError, InputError

_SPACES: Final = (
    "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")


def format_seconds(seconds: float) -> str:
    """`0.0123` -> `12.3 ms`; three significant digits from ns to hours."""
    if not math.isfinite(seconds):
        return "-"
    if seconds >= 120:
        return f"{seconds / 3600:.1f} h" if seconds >= 7200 else f"{seconds / 60:.1f} min"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def usable_cores() -> int:
    """CPU cores that this process may use; all of the machine where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def format_bytes(nbytes: float) -> str:
    """`1536` -> `1.5 KiB`; binary units as IEC 80000-13 has them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if nbytes < 1024:
            return f"{nbytes:.0f} B" if unit == "B" else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} TiB"


def printable(text: str, *, keep: str = "") -> str:
    """The text as it may be shown: what would command a terminal or hide is escaped.

    Control characters, marks of direction and of no width, and bytes that are no text; not the
    characters in `keep`, as line ends in a text of our own.
    """
    if text.isprintable():
        return text
    return "".join(
        sign if sign.isprintable() or sign in keep or sign in _SPACES else _escaped(sign)
        for sign in text
    )


def _escaped(sign: str) -> str:
    if "\udc80" <= sign <= "\udcff":  # a byte of a name that is not UTF-8
        return f"\\x{ord(sign) - 0xDC00:02x}"
    return sign.encode("unicode_escape", "backslashreplace").decode("ascii")


def as_names(values: Iterable[str]) -> tuple[str, ...]:
    """Attrs converter: a tuple of strings; a lone string is a mistake, not its letters."""
    given = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else None
    if given is None or not all(isinstance(name, str) for name in given):
        raise ConfigError(f"names must be given as a list, got {values!r}", remedy="use [...]")
    return given


def as_path(name: str, value: Any) -> Path:
    """An argument that names a file or a folder.

    Raises:
        ConfigError: it does not.
    """
    text = os.fsdecode(value) if isinstance(value, str | bytes | os.PathLike) else ""
    if not text or "\0" in text:
        raise ConfigError(f"{name} must be a path, got {value!r}")
    return Path(text)


def as_mapping(name: str, value: Any) -> Mapping[str, Any]:
    """An argument that maps names to something; None is an empty one.

    Raises:
        ConfigError: it is not a mapping.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a mapping by name, got a {type(value).__name__}")
    return value


def check_name(_record: object, field: attrs.Attribute[Any], value: str) -> None:
    """Attrs validator: names of records are `[a-z][a-z0-9_]*`."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        raise ConfigError(
            f"{type(_record).__name__}.{field.name} is {value!r}",
            remedy="use lower-case letters, digits and underscores, starting with a letter",
        )


def check_locator(_record: object, field: attrs.Attribute[Any], value: str | None) -> None:
    """Attrs validator: factories and probes are `package.module:Name` strings."""
    if value is None:
        return
    module, colon, name = value.partition(":")
    parts = [*module.split("."), name]
    if not colon or not all(part.isidentifier() for part in parts):
        raise ConfigError(
            f"{type(_record).__name__}.{field.name} is {value!r}",
            remedy="write it as 'package.module:Name'",
        )


def check_finite(_record: object, field: attrs.Attribute[Any], value: float) -> None:
    """Attrs validator: a finite number, zero or more."""
    if not math.isfinite(value) or value < 0:
        raise InputError(
            f"{type(_record).__name__}.{field.name} must be a finite number of 0 or more, "
            f"got {value!r}"
        )


def check_count(least: int) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    """Attrs validator: a whole number, `least` or more."""

    def check(record: object, field: attrs.Attribute[Any], value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(
                f"{type(record).__name__}.{field.name} must be a whole number of {least} or more, "
                f"got {value!r}"
            )

    return check


def as_count(name: str, value: Any) -> int:
    """An argument that counts something: a whole number of 1 or more.

    Raises:
        ConfigError: it is not.
    """
    try:
        whole = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        whole = 0
    if whole < 1:
        raise ConfigError(
            f"{name} must be a whole number of 1 or more, got {value!r}",
            remedy=f"correct {name}, or leave it out",
        )
    return whole


def as_duration(name: str, value: Any) -> float:
    """An argument in seconds: a finite number above 0.

    Raises:
        ConfigError: it is not.
    """
    try:
        seconds = math.nan if isinstance(value, bool | str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(
            f"{name} must be a number of seconds above 0, got {value!r}",
            remedy=f"correct {name}, or leave it out",
        )
    return seconds


def counted(count: int, noun: str) -> str:
    """`1 folder`, `1,200 folders`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
