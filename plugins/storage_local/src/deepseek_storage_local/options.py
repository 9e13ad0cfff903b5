"""What a URL of the scheme `file` says: a folder, and options after a question mark."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote

import attrs

from deepseek_core import Tier, errors

_SCALES: Final = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)([kmgt]?)(?:i?b)?", re.IGNORECASE)
_LATENCY_S: Final = {"ssd": 1e-4, "hdd": 8e-3}
_BYTES_PER_S: Final = {"ssd": 5e8, "hdd": 1.5e8}


@attrs.frozen(kw_only=True)
class Options:
    """A folder and how it is used; None: found out or not limited."""

    root: Path
    domains: tuple[str, ...] = ()
    medium: Literal["ssd", "hdd"] | None = None
    direct: bool = False
    create: bool = True
    exclusive: bool = False
    capacity_nbytes: int | None = None
    latency_s: float | None = None
    bytes_per_s: float | None = None

    def speed_of(self, medium: Literal["ssd", "hdd"]) -> tuple[float, float]:
        """Seconds until the first byte, and bytes per second: given, or usual for the medium."""
        latency_s, bytes_per_s = self.latency_s, self.bytes_per_s
        return (
            _LATENCY_S[medium] if latency_s is None else latency_s,
            _BYTES_PER_S[medium] if bytes_per_s is None else bytes_per_s,
        )


def parse(url: str) -> Options:
    """The options of a URL.

    Raises:
        ConfigError: no absolute folder, an unknown option, or a value that does not fit.
    """
    place, _, query = url.partition("?")
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        field, read = _option(name)
        if field in found:
            raise errors.ConfigError(
                f"{url}: option {name!r} is given twice", remedy="give it once"
            )
        try:
            found[field] = read(value)
        except (ValueError, KeyError, OverflowError):
            raise errors.ConfigError(
                f"{url}: {name}={value!r} does not fit", remedy=f"write {_OPTIONS[name][2]}"
            ) from None
    return Options(root=_root(place, url), **found)


def _root(place: str, url: str) -> Path:
    scheme, _, rest = place.partition(":")
    path = unquote(rest.removeprefix("//"))
    if scheme != "file" or not path.startswith("/") or "\0" in path:
        raise errors.ConfigError(
            f"{url!r} is no absolute folder of this machine",
            remedy="write file: with three slashes and a path, as Path.as_uri() does",
        )
    return Path(path)


def _option(name: str) -> tuple[str, Any]:
    if name not in _OPTIONS:
        close = difflib.get_close_matches(name, _OPTIONS, 1)
        remedy = f"did you mean {close[0]}?" if close else f"options: {', '.join(_OPTIONS)}"
        raise errors.ConfigError(f"a local tier has no option {name!r}", remedy=remedy)
    field, read, _ = _OPTIONS[name]
    return field, read


def _flag(text: str) -> bool:
    return {"1": True, "0": False, "true": True, "false": False}[text.lower()]


def read_nbytes(text: str) -> int:
    """`1.5G` -> 1610612736; k, M, G and T are binary.

    Raises:
        ValueError: no size.
    """
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError(text)
    return int(float(match[1]) * _SCALES[match[2].lower()])


def _positive(text: str, *, scale: float) -> float:
    value = float(text) * scale
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def _medium(text: str) -> str:
    return {"ssd": "ssd", "hdd": "hdd"}[text]


# name in the URL -> field, reader, what to write
_OPTIONS: Final = {
    "domains": ("domains", Tier.read_domains, "a number (1 to 1000) or different names: a,b,c"),
    "profile": ("medium", _medium, "ssd or hdd"),
    "direct": ("direct", _flag, "1 or 0"),
    "create": ("create", _flag, "1 or 0"),
    "exclusive": ("exclusive", _flag, "1 or 0"),
    "capacity": ("capacity_nbytes", read_nbytes, "bytes: 500M, 1.5T"),
    "latency_ms": ("latency_s", lambda t: _positive(t, scale=1e-3), "milliseconds above 0"),
    "mb_per_s": ("bytes_per_s", lambda t: _positive(t, scale=1e6), "a number above 0"),
}
