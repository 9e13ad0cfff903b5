"""The switches of discovery, from arguments, environment or configuration file.

An argument beats the environment, which beats `[plugins]` of the configuration file:

    argument          environment               [plugins] key
    no_plugins        DEEPSEEK_NO_PLUGINS       no_plugins = true
    allow             DEEPSEEK_PLUGINS          allow = ["fpga_opencl"]
    disable           DEEPSEEK_DISABLE_PLUGINS  disable = ["acme-npu", "acme-npu:npu"]
    strict            DEEPSEEK_STRICT_PLUGINS   strict = true
    prefer            -                         prefer = { npu = "acme-npu" }
    trace_hooks       DEEPSEEK_TRACE_HOOKS      trace_hooks = true
    probe_timeout_s   DEEPSEEK_PROBE_TIMEOUT    probe_timeout_s = 20.0

A plugin is named by its entry point, by its distribution, or by `distribution:entry_point`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.folders import config_file
from deepseek_core.discovery.scan import EntryPoint, normalize

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_ENVIRONMENT: Final = {
    "no_plugins": "DEEPSEEK_NO_PLUGINS",
    "allow": "DEEPSEEK_PLUGINS",
    "disable": "DEEPSEEK_DISABLE_PLUGINS",
    "strict": "DEEPSEEK_STRICT_PLUGINS",
    "trace_hooks": "DEEPSEEK_TRACE_HOOKS",
    "probe_timeout_s": "DEEPSEEK_PROBE_TIMEOUT",
}


def _flag(value: object) -> bool:
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("expected true or false (1 or 0 in the environment)")


def _names(value: object) -> tuple[str, ...]:
    parts: Sequence[object] | object = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("expected a list of names (separated by commas in the environment)")
    return tuple(part.strip() for part in parts if part.strip())


def _seconds(value: object) -> float:
    seconds = float(value) if isinstance(value, str | int | float) else math.nan
    if isinstance(value, bool) or not 0 < seconds < math.inf:
        raise ValueError("expected seconds, more than 0")
    return seconds


def _preferences(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("expected a table of name = distribution")
    return dict(value)


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "no_plugins": _flag,
    "allow": _names,
    "disable": _names,
    "strict": _flag,
    "prefer": _preferences,
    "trace_hooks": _flag,
    "probe_timeout_s": _seconds,
}


@attrs.frozen(kw_only=True)
class Switches:
    """Which plugins may load, and how they are treated.

    `allow` is None when every plugin may; `prefer` maps a contested name to its distribution.
    `origins` says of each value where it came from, `settings` holds the tables `[plugin.NAME]`.
    """

    no_plugins: bool = False
    allow: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    strict: bool = False
    prefer: Mapping[str, str] = attrs.field(factory=dict)
    trace_hooks: bool = False
    probe_timeout_s: float = 10.0
    origins: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    settings: Mapping[str, Mapping[str, object]] = attrs.field(factory=dict, repr=False)

    @classmethod
    def resolve(
        cls,
        *,
        environ: Mapping[str, str] | None = None,
        config: Path | None = None,
        **arguments: object,
    ) -> Switches:
        """Read every switch from the first place that sets it; an argument of None sets nothing.

        Raises:
            ConfigError: a value or the configuration file is malformed, or a key is unknown.
        """
        path = config or config_file()
        tables = read_config(path)
        sources = _sources(arguments, os.environ if environ is None else environ, tables, path)
        values: dict[str, Any] = {}
        origins = dict.fromkeys(_READERS, "default")
        for name, value, origin in sources:
            values[name], origins[name] = _read(name, value, origin), origin
        return cls(**values, origins=origins, settings=_plugin_tables(tables, path))

    def origin(self, name: str) -> str:
        """Where the value came from: `argument NAME`, a variable, a key of a file, or `default`."""
        return self.origins.get(name, f"argument {name}")

    def check_names(self, entry_points: Iterable[EntryPoint]) -> None:
        """Compare the plugins that the switches name with those installed.

        Raises:
            ConfigError: no installed plugin has that name.
        """
        points = tuple(entry_points)
        for name in ("allow", "disable"):
            for word in getattr(self, name) or ():
                if not any(matches(word, point) for point in points):
                    self._unknown(name, word, {w for p in points for w in (p.name, p.dist)})
        for word in self.prefer.values():
            if normalize(word) not in {normalize(p.dist) for p in points}:
                self._unknown("prefer", word, {p.dist for p in points})

    def _unknown(self, name: str, word: str, known: set[str]) -> None:
        raise ConfigError(
            f"{self.origin(name)} names {word!r}, and no such plugin is installed",
            remedy=suggestion(word, known) or f"correct {self.origin(name)}",
        )


def matches(word: str, point: EntryPoint) -> bool:
    """Whether `word` names this plugin by entry point, distribution or `dist:entry_point`."""
    dist, colon, name = word.rpartition(":")
    if colon:
        return name == point.name and normalize(dist) == normalize(point.dist)
    return word == point.name or normalize(word) == normalize(point.dist)


def suggestion(word: str, known: Iterable[str]) -> str | None:
    """`did you mean ...?` with the names that are close, or None."""
    from difflib import get_close_matches

    close = get_close_matches(word, sorted(known), n=3)
    return f"did you mean {' or '.join(close)}?" if close else None


def read_config(path: Path) -> Mapping[str, object]:
    """The configuration file's tables; empty if there is no such file.

    Raises:
        ConfigError: it can't be read or is no TOML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}", remedy="make it a readable TOML file") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}", remedy="correct that line of the file") from error


def _sources(
    arguments: Mapping[str, object],
    environ: Mapping[str, str],
    tables: Mapping[str, object],
    path: Path,
) -> Iterable[tuple[str, object, str]]:
    """Name, raw value and origin of what is set, the weakest source first."""
    for name, value in _table(tables, "plugins", path).items():
        yield name, value, f"{path} [plugins] {name}"
    for name, variable in _ENVIRONMENT.items():
        if environ.get(variable, "").strip():
            yield name, environ[variable], variable
    for name, value in arguments.items():
        if value is not None:
            yield name, value, f"argument {name}"


def _read(name: str, value: object, origin: str) -> object:
    if name not in _READERS:
        raise ConfigError(
            f"{origin}: there is no such switch",
            remedy=suggestion(name, _READERS) or f"use one of {', '.join(_READERS)}",
        )
    try:
        return _READERS[name](value)
    except ValueError as error:
        raise ConfigError(f"{origin}: {value!r} does not fit", remedy=str(error)) from error


def _table(
    tables: Mapping[str, object], name: str, path: Path, title: str | None = None
) -> Mapping[str, object]:
    table, title = tables.get(name, {}), title or name
    if not isinstance(table, Mapping):
        raise ConfigError(f"{path}: {title} is {table!r}", remedy=f"write it as a table [{title}]")
    return table


def _plugin_tables(tables: Mapping[str, object], path: Path) -> dict[str, Mapping[str, object]]:
    section = _table(tables, "plugin", path)
    return {name: _table(section, name, path, f"plugin.{name}") for name in section}
