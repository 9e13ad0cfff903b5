"""Options of what a plugin makes by name: the fields of an attrs class, checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

import attrs

from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.discovery.registry import load_locator
from deepseek_core.discovery.settings import fitted
from deepseek_core.discovery.strangers import one_line
from deepseek_core.discovery.switches import suggestion

if TYPE_CHECKING:
    from deepseek_core.discovery.registry import Registered


@attrs.frozen(kw_only=True)
class Wording:
    """How errors call what has the options: `where` ("step 'prune'"), and the `place` of them."""

    where: str
    place: str


@attrs.frozen(kw_only=True)
class OptionField:
    """One option as a person reads of it; `default` is None where it has to be given.

    `at_run`: it may be given again whenever what was made with it runs.
    """

    name: str
    kind: str
    default: str | None
    help: str = ""
    at_run: bool = False


def resolved(found: Registered[Any], given: Mapping[str, Any], wording: Wording) -> dict[str, Any]:
    """The options of a record with their defaults, each as its annotation wants it.

    Raises:
        ConfigError: one is missing, unknown (the nearest one is named) or does not fit.
        PluginError: what the record names is no attrs class.
    """
    where = wording.where
    kind = _class(found)
    if kind is None:
        if given:
            raise ConfigError(f"{where} has no options; given {', '.join(given)}")
        return {}
    fields = list(_fields(kind))
    _check_names(given, fields, wording)
    hints = get_type_hints(kind)
    values = {key: _value(value, hints.get(key, object), key, wording)
              for key, value in given.items()}  # fmt: skip
    try:
        made = kind(**values)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        remedy = f"correct the {wording.place}"
        raise ConfigError(f"{where}: {one_line(error)}", remedy=remedy) from error
    return {_name(field): getattr(made, _name(field)) for field in fields}


def described(found: Registered[Any]) -> tuple[OptionField, ...]:
    """The options of a record as a person reads of them.

    Raises:
        PluginError: what the record names is no attrs class.
    """
    kind = _class(found)
    return () if kind is None else tuple(map(_described, _fields(kind)))


def _class(found: Registered[Any]) -> type[Any] | None:
    if found.record.options is None:
        return None
    kind = load_locator(found.record.options, plugin=found.plugin, dist=found.dist)
    if not (isinstance(kind, type) and attrs.has(kind)):
        raise PluginError(f"plugin {found.plugin!r}: {found.record.options} is not an attrs class")
    return kind


def _fields(kind: type[Any]) -> Iterator[attrs.Attribute[Any]]:
    return (field for field in attrs.fields(kind) if field.init)


def _name(field: attrs.Attribute[Any]) -> str:
    return field.alias or field.name


def _check_names(
    given: Mapping[str, Any], fields: list[attrs.Attribute[Any]], wording: Wording
) -> None:
    names = [_name(field) for field in fields]
    for key in given:
        if key not in names:
            close = suggestion(str(key), names)
            known = f"its options: {', '.join(names) or 'none'}"
            raise ConfigError(f"{wording.where} has no option {key!r}", remedy=close or known)
    for field in fields:
        if field.default is attrs.NOTHING and _name(field) not in given:
            raise ConfigError(
                f"{wording.where} needs {_name(field)}",
                remedy=f"add {_name(field)} to the {wording.place}",
            )


def _value(value: Any, hint: Any, key: str, wording: Wording) -> Any:
    try:
        return fitted(value, hint)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{wording.where}: {key} must be {error}, got {value!r}",
            remedy=f"correct the {wording.place}",
        ) from error


def _described(field: attrs.Attribute[Any]) -> OptionField:
    kind = field.type if isinstance(field.type, str) else getattr(field.type, "__name__", "")
    default = None if field.default is attrs.NOTHING else _told(field.default)
    return OptionField(
        name=_name(field), kind=str(kind), default=default,
        help=str(field.metadata.get("help", "")), at_run=bool(field.metadata.get("at_run")),
    )  # fmt: skip


def _told(default: Any) -> str:
    made = default.factory() if hasattr(default, "factory") else default
    return made if isinstance(made, str) else repr(made)
