"""Settings of plugins: one frozen attrs class each, filled from environment and configuration.

A hook module declares `settings = "acme.settings:Settings"`. A field is what the program gives
(`Switches.given`), else it is read from the variable `DEEPSEEK_NAME_FIELD`, else from
`[plugin.NAME]` of the configuration file, else it has its default.
Field metadata: `secret=True` makes it a `Secret`, `help` is one line about it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin, get_type_hints

import attrs

from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.contracts.secret import Secret, masked
from deepseek_core.discovery.strangers import one_line, raise_if_ours, text_of
from deepseek_core.discovery.switch_table import SWITCHES
from deepseek_core.discovery.switches import (
    Switches,
    UnfitSettings,
    as_flag,
    as_names_list,
    misfit,
    suggestion,
)

_TAKEN: Final = {
    "DEEPSEEK_CONFIG",
    "DEEPSEEK_CACHE_DIR",
    *(switch.variable for switch in SWITCHES),
}


@attrs.frozen(kw_only=True)
class Setting:
    """One setting as it is now: its value, and where that came from."""

    name: str
    value: Any
    origin: str
    variable: str
    secret: bool = False
    help: str = ""

    @property
    def shown(self) -> object:
        """The value as it may be printed: `****` for a secret that is set."""
        plain = isinstance(self.value, bool | int | float | None)
        return self.value if plain else masked(text_of(self.value))

    def to_json(self) -> dict[str, object]:
        """What may be shown, as JSON has it."""
        return {
            "name": self.name,
            "value": self.shown,
            "origin": self.origin,
            "variable": self.variable,
            "secret": self.secret,
            "help": self.help,
        }


def settings_of(
    plugin: object, name: str, switches: Switches, environ: Mapping[str, str] | None = None
) -> tuple[Setting, ...] | None:
    """The settings of a plugin; None if it declares no class.

    Raises:
        UnfitSettings: what the user has set does not fit.
        PluginError: what the plugin declares is not an attrs class.
    """
    locator = getattr(plugin, "settings", None)
    if not isinstance(locator, str):
        return None
    kind = _class(locator)
    reader = _Reader(name, switches, os.environ if environ is None else environ)
    try:
        return reader.read(kind)
    except ConfigError as error:
        raise UnfitSettings from error


def plain(found: Iterable[Setting]) -> dict[str, object]:
    """The values as JSON has them, for a process of the plugin's own; secrets are left out."""
    told: dict[str, object] = {}
    for setting in found:
        value = str(setting.value) if isinstance(setting.value, Path) else setting.value
        value = list(value) if isinstance(value, tuple) else value
        if not setting.secret and isinstance(value, bool | int | float | str | list | None):
            told[setting.name] = value
    return told


def _class(locator: str) -> type[Any]:
    from importlib import import_module

    module, _, name = locator.partition(":")
    kind: object = getattr(import_module(module), name or "?", None)
    if not (isinstance(kind, type) and attrs.has(kind)):
        raise PluginError(
            f"settings = {locator!r} names no attrs class",
            remedy="write it as 'package.module:Class' of a class with @attrs.frozen(kw_only=True)",
        )
    return kind


class _Reader:
    """Reads one plugin's settings."""

    def __init__(self, name: str, switches: Switches, environ: Mapping[str, str]) -> None:
        self._name, self._environ = name, environ
        self._given, self._table = switches.given.get(name, {}), switches.settings.get(name, {})
        self._config = switches.config
        self._title = f"{self._config or 'the configuration file'} [plugin.{name}]"

    def read(self, kind: type[Any]) -> tuple[Setting, ...]:
        fields, hints = attrs.fields(kind), get_type_hints(kind)
        self._refuse_unknown([field.alias for field in fields if field.init])
        found = [self._setting(f, hints.get(f.name, str)) for f in fields if f.init]
        given = {s.name: s.value for s in found if s.origin != "default"}
        try:
            made = kind(**given)
        except ConfigError:
            raise
        except BaseException as error:
            raise_if_ours(error)
            raise ConfigError(f"{self._title}: {one_line(error)}", remedy="correct it") from error
        aliases = {field.alias: field.name for field in fields}
        return tuple(attrs.evolve(s, value=getattr(made, aliases[s.name])) for s in found)

    def _refuse_unknown(self, known: Iterable[str]) -> None:
        names = tuple(known)
        for key in (*self._given, *self._table):
            if key not in names:
                where = self._of_program(key) if key in self._given else self._title
                raise ConfigError(
                    f"{where}: there is no setting {key!r}",
                    remedy=suggestion(str(key), names)
                    or f"its settings: {', '.join(names) or 'none'}",
                )

    def _setting(self, field: attrs.Attribute[Any], hint: Any) -> Setting:
        key = field.alias or field.name
        variable = self._variable(key)
        secret = bool(field.metadata.get("secret")) or Secret in (hint, *get_args(hint))
        value, origin = self._found(key, variable, field)
        if origin != "default":
            value = self._converted(value, origin, hint, secret)
        help_ = str(field.metadata.get("help", ""))
        return Setting(
            name=key, value=value, origin=origin, variable=variable, secret=secret, help=help_
        )

    def _variable(self, key: str) -> str:
        variable = re.sub(r"\W", "_", f"DEEPSEEK_{self._name}_{key}").upper()
        if variable in _TAKEN:
            raise PluginError(
                f"its setting {key!r} would be read from {variable}, which is a switch of the SDK",
                remedy="give the field another name",
            )
        return variable

    def _found(self, key: str, variable: str, field: attrs.Attribute[Any]) -> tuple[object, str]:
        if key in self._given:
            return self._given[key], self._of_program(key)
        if self._environ.get(variable, ""):
            return self._environ[variable], variable
        if key in self._table:
            return self._table[key], f"{self._title} {key}"
        if field.default is attrs.NOTHING:
            raise ConfigError(
                f"{self._title} lacks {key!r}", remedy=f"put {key} = ... there, or set {variable}"
            )
        return None, "default"

    def _of_program(self, key: str) -> str:
        return f"setting {self._name}.{key}"

    def _converted(self, value: object, origin: str, hint: Any, secret: bool) -> object:
        from_file = self._config.parent if self._config else None
        if secret:
            is_variable = origin in self._environ
            return (
                Secret(env=origin)
                if is_variable
                else Secret.of(value, where=origin, folder=from_file)
            )
        try:
            return fitted(value, hint)
        except (ValueError, TypeError) as error:
            raise misfit(origin, value, str(error)) from error


def fitted(value: object, hint: Any) -> object:
    """The value as the annotation wants it; text, as a variable has it, is read.

    Raises:
        ValueError: it does not fit; says what is expected.
    """
    if get_origin(hint) in (Union, UnionType):
        hint = next(kind for kind in get_args(hint) if kind is not type(None))
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise ValueError(f"one of {', '.join(map(str, get_args(hint)))}")
        return value
    read = _READERS.get(get_origin(hint) or hint)
    return value if read is None else read(value)


_WHOLE: Final = "a whole number"
_REAL: Final = "a number"


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(_WHOLE)
    try:
        return int(value)
    except ValueError:
        raise ValueError(_WHOLE) from None


def _real(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(_REAL)
    try:
        return float(value)
    except ValueError:
        raise ValueError(_REAL) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a text in quotes")
    return value


def _path(value: object) -> Path:
    return Path(_text(value)).expanduser()


def _list(value: object) -> list[str]:
    return list(as_names_list(value))


_READERS: Final[Mapping[Any, Callable[[object], object]]] = {
    bool: as_flag,
    int: _whole,
    float: _real,
    str: _text,
    Path: _path,
    tuple: as_names_list,
    list: _list,
}
