"""A recipe's tables, each key of which is known; nothing is imported here."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import errors

_NUMBER: Final = (int, float)
_MADE: Final[dict[str, Any]] = {"factory": str, "kwargs": dict}
KEYS: Final[dict[str, dict[str, Any]]] = {
    "model": _MADE,
    "data": _MADE,
    "optimizer": {"name": str, "factory": str, "kwargs": dict},
    "loss": {"name": str, "function": str},
    "scheduler": {"name": str, "factory": str, "kwargs": dict},
    "evaluate": {**_MADE, "every": int, "batch": int, "metrics": dict},
    "early_stop": {"patience": int, "metric": str, "least": _NUMBER, "mode": str},
    "train": {
        "steps": int, "epochs": int, "batch": int, "microbatch": int, "seed": int,
        "precision": str, "clip": _NUMBER, "compress": _NUMBER, "balance": bool,
    },
    "strategy": {"name": str, "layers": list},
    "checkpoint": {
        "url": str, "every": int, "keep": int, "failure_hours": _NUMBER, "failures": str,
        "failure_system": str, "failure_nodes": int,
    },
    "log": {"folder": str},
    "trace": {"folder": str, "skip": int, "steps": int},
}  # fmt: skip
"""The keys of each table, and of what type a value is."""
_OPEN: Final = ("strategy",)
"""Tables whose other keys are for somebody else to check: options of the strategy of that name."""
_NEEDED: Final = {
    "model": ("factory",),
    "data": ("factory",),
    "optimizer": (),
    "loss": (),
    "train": (),
}
_EITHER: Final = {
    "optimizer": ("name", "factory"),
    "loss": ("name", "function"),
    "train": ("steps", "epochs"),
    "scheduler": ("name", "factory"),
    "strategy": ("name",),
    "trace": ("folder",),
}


@attrs.frozen(kw_only=True)
class Recipe:
    """The tables of a recipe; `folder` is where its files are."""

    path: Path
    tables: Mapping[str, Mapping[str, Any]]

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return self.path.resolve().parent

    def get(self, table: str) -> Mapping[str, Any]:
        """A table, empty if it is left out."""
        return self.tables.get(table, {})


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a file and change it; a change is "table.key=value", its value as in TOML.

    Of two keys that exclude each other, as steps and epochs, the changed one takes the place.

    Raises:
        ConfigError: it can't be read, or a table or key is unknown, missing or of another type.
    """
    tables = _parsed(path)
    for change in changes:
        _change(tables, change)
    _check(tables, str(path))
    return Recipe(path=path, tables=tables)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.ConfigError(
            f"{path} can't be read: {error.strerror or error}", remedy="give a TOML file"
        ) from error
    except ValueError as error:
        raise errors.ConfigError(
            f"{path} is not TOML: {error}", remedy="correct it at that place"
        ) from error


def _change(tables: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    keys = name.strip().split(".")
    if not equals or not all(keys) or (len(keys) < 2 and not text.lstrip().startswith("{")):
        raise errors.ConfigError(
            f"--set {change!r} has no table, key and value", remedy="--set train.batch=64"
        )
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text  # a word without quotes
    held = tables
    for key in keys[:-1]:
        held = held.setdefault(key, {})
        if not isinstance(held, dict):
            raise errors.ConfigError(f"--set {change!r}: {key} is not a table", remedy="correct it")
    held[keys[-1]] = value
    if len(keys) == 2 and keys[1] in (either := _EITHER.get(keys[0], ())):
        for other in either:
            if other != keys[1]:
                held.pop(other, None)


def _check(tables: Mapping[str, Any], where: str) -> None:
    for table, content in tables.items():
        if table not in KEYS:
            raise _unknown(f"[{table}]", table, KEYS, where)
        if not isinstance(content, dict):
            raise errors.ConfigError(f"{where}: {table} is not a table", remedy=f"write [{table}]")
        for key, value in content.items():
            _check_key(table, key, value, where)
    for table, needed in _NEEDED.items():
        for key in (*needed,):
            if key not in tables.get(table, {}):
                raise errors.ConfigError(
                    f"{where}: {table}.{key} is missing",
                    remedy=f'add it below [{table}]: {key} = "train.py:function"',
                )
    for table, either in _EITHER.items():
        given = [key for key in either if key in tables.get(table, {})]
        if len(given) != 1 and (table in tables or table in _NEEDED):
            raise errors.ConfigError(
                f"{where}: [{table}] has {' and '.join(given) or 'none'} of {', '.join(either)}",
                remedy=f"give one of them below [{table}]",
            )


def _check_key(table: str, key: str, value: Any, where: str) -> None:
    if key not in KEYS[table] and table in _OPEN:
        return
    if key not in KEYS[table]:
        raise _unknown(f"{table}.{key}", key, KEYS[table], where)
    wanted = KEYS[table][key]
    is_bool = isinstance(value, bool)
    if not isinstance(value, wanted) or (is_bool and wanted is not bool):
        kinds = {
            str: "text", dict: "a table", list: "a list", int: "a whole number",
            bool: "true or false",
        }  # fmt: skip
        raise errors.ConfigError(
            f"{where}: {table}.{key} is {value!r}",
            remedy=f"give {kinds.get(wanted, 'a number')}",
        )


def _unknown(told: str, key: str, known: Mapping[str, Any], where: str) -> errors.ConfigError:
    close = get_close_matches(key, known, n=1)
    remedy = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known)}"
    return errors.ConfigError(f"{where}: there is no {told}", remedy=remedy)
