"""The switches of discovery, from arguments, environment or configuration file.

`switch_table` has their names. An argument of this function beats a flag of `ds-sdk`, which beats
the environment, which beats `[plugins]` of the configuration file, which beats the default.
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
from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.folders import config_file
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.switch_table import SWITCHES, named

_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off"})
_TABLES: Final = ("plugins", "plugin")
_OTHER_VARIABLES: Final = frozenset(
    {"DEEPSEEK_CONFIG", "DEEPSEEK_CACHE_DIR", "DEEPSEEK_PLUGINS_FINGERPRINT", "DEEPSEEK_CHILD"}
)


def as_flag(value: object) -> bool:
    """True or false, as TOML has it or as a word.

    Raises:
        ValueError: anything else.
    """
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise ValueError("true or false (1 or 0 in the environment)")


def as_names_list(value: object) -> tuple[str, ...]:
    """Names from a list, or from a text with commas.

    Raises:
        ValueError: anything else.
    """
    parts: Sequence[object] | object = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise ValueError("a list of names (separated by commas in the environment)")
    return tuple(part.strip() for part in parts if part.strip())


def _number(value: object, wanted: str) -> float:
    try:
        number = float(value) if isinstance(value, str | int | float) else math.nan
    except ValueError:  # a text that is none
        number = math.nan
    if isinstance(value, bool) or not 0 <= number < math.inf:
        raise ValueError(wanted)
    return number


def _seconds(value: object) -> float:
    seconds = _number(value, "a number of seconds above 0")
    if seconds == 0:
        raise ValueError("a number of seconds above 0")
    return seconds


def _limit(value: object) -> float:
    return _number(value, "a number, 0 for no limit")


def _preferences(value: object) -> dict[str, str]:
    if isinstance(value, str):
        pairs = [part.split("=") for part in value.split(",") if part.strip()]
        value = dict(pairs) if all(len(pair) == 2 for pair in pairs) else None
        value = value and {name.strip(): dist.strip() for name, dist in value.items()}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ValueError("a table of name = distribution (NAME=DIST in the environment)")
    return dict(value)


_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "no_plugins": as_flag,
    "allow": as_names_list,
    "disable": as_names_list,
    "strict": as_flag,
    "prefer": _preferences,
    "trace_hooks": as_flag,
    "probe_timeout_s": _seconds,
    "probe_memory_gib": _limit,
    "load_timeout_s": _limit,
}


class UnfitSettings(Exception):
    """The user's settings do not fit the plugin's class; the cause is a `ConfigError`."""


@attrs.frozen(kw_only=True)
class Switches:
    """Which plugins may load, and how they are treated.

    `allow` is None when every plugin may; `prefer` maps a contested name to its distribution.
    `probe_memory_gib` and `load_timeout_s` are 0 for no limit. `origins` says of each value where
    it came from; `settings` holds the tables `[plugin.NAME]` of the file `config`, `given` what
    the program itself says in their place.
    """

    no_plugins: bool = False
    allow: tuple[str, ...] | None = None
    disable: tuple[str, ...] = ()
    strict: bool = False
    prefer: Mapping[str, str] = attrs.field(factory=dict)
    trace_hooks: bool = False
    probe_timeout_s: float = 10.0
    probe_memory_gib: float = 3.0
    load_timeout_s: float = 20.0
    origins: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    settings: Mapping[str, Mapping[str, object]] = attrs.field(factory=dict, repr=False)
    given: Mapping[str, Mapping[str, object]] = attrs.field(factory=dict, repr=False)
    config: Path | None = attrs.field(default=None, repr=False)

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
        _check_tables(tables, path)
        sources = _sources(arguments, os.environ if environ is None else environ, tables, path)
        values: dict[str, Any] = {}
        origins = dict.fromkeys(_READERS, "default")
        for name, value, origin in sources:
            values[name], origins[name] = _read(name, value, origin), origin
        return cls(**values, origins=origins, settings=_plugin_tables(tables, path), config=path)

    def origin(self, name: str) -> str:
        """Where it came from: an argument, flag, variable or key of a file, or `default`."""
        return self.origins.get(name, f"argument {name}")

    def undo(self, name: str) -> str:
        """How to take a switch back."""
        where = self.origin(name)
        return f"leave out {where}" if where.startswith("--") else f"unset {where}"


def check_variables(environ: Mapping[str, str] | None = None) -> None:
    """Find a misspelt `DEEPSEEK_...` variable, which would be passed over in silence.

    Raises:
        ConfigError: one that is not a switch is written almost like one.
    """
    from difflib import get_close_matches

    known = {switch.variable for switch in SWITCHES} | _OTHER_VARIABLES
    for name in os.environ if environ is None else environ:
        close = get_close_matches(name, known, n=1, cutoff=0.9)
        if name.startswith("DEEPSEEK_") and name not in known and close:
            raise ConfigError(f"there is no variable {name}", remedy=f"did you mean {close[0]}?")


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
        ConfigError: it can't be read or is not TOML.
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
    for switch in SWITCHES:
        value = environ.get(switch.variable, "")
        if value.strip():
            origin = named(switch.variable) if environ is os.environ else switch.variable
            yield switch.name, value, origin
    for name, value in arguments.items():
        if value is not None:
            yield name, value, f"argument {name}"


def _check_tables(tables: Mapping[str, object], path: Path) -> None:
    for name in tables:
        if name not in _TABLES:
            raise ConfigError(
                f"{path}: there is no table [{name}]",
                remedy=suggestion(name, _TABLES) or "use [plugins] or [plugin.NAME]",
            )


def misfit(origin: str, value: object, wanted: str) -> ConfigError:
    """The error of a value that is not what is `wanted` there."""
    told = f"{origin} must be {wanted}, got {value!r}"
    return ConfigError(told, remedy="correct it, or leave it out")


def _read(name: str, value: object, origin: str) -> object:
    if name not in _READERS:
        raise ConfigError(
            f"{origin}: there is no such switch",
            remedy=suggestion(name, _READERS) or f"use one of {', '.join(_READERS)}",
        )
    try:
        return _READERS[name](value)
    except ValueError as error:
        raise misfit(origin, value, str(error)) from error


def _table(
    tables: Mapping[str, object], name: str, path: Path, title: str | None = None
) -> Mapping[str, object]:
    table, title = tables.get(name, {}), title or name
    if not isinstance(table, Mapping):
        raise ConfigError(
            f"{path}: {title} must be a table, got {table!r}", remedy=f"write it as [{title}]"
        )
    return table


def _plugin_tables(tables: Mapping[str, object], path: Path) -> dict[str, Mapping[str, object]]:
    section = _table(tables, "plugin", path)
    return {name: _table(section, name, path, f"plugin.{name}") for name in section}
