"""Adapters: plugins of the API's previous major, served as if they were of today's.

Core serves MAJOR and MAJOR - 1. API v0, as its plugins were written: a hook is a plain function
of the hook's name; it takes no argument and returns dicts with the fields of a record; a locator
is dotted (`acme.npu.Npu`). Nothing is imported from here unless such a plugin is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.families import FAMILIES, Family
from deepseek_core.discovery.hooks import HostContext, hookimpl
from deepseek_core.discovery.installing import update_command
from deepseek_core.discovery.scan import API, EntryPoint
from deepseek_core.discovery.status import PluginRow, Status
from deepseek_core.discovery.strangers import repr_of

ADAPTED: Final = 0
"""The major before today's: the one that is adapted."""

_LOCATORS: Final = ("factory", "probe", "main", "run")

OldHook = Callable[[], Iterable[Mapping[str, object]]]


def adapt(plugin: object, point: EntryPoint, row: PluginRow) -> tuple[object, PluginRow]:
    """The plugin with hooks of today's API, and its row, which says so.

    One that has no hook of the API that it names is incompatible, and is not adapted.
    """
    old = {family: hook for family in FAMILIES if (hook := _old_hook(plugin, family))}
    if point.major != ADAPTED or not old:
        reason = f"needs API {point.api}; core has v{API[0]}"
        return plugin, row.ended(Status.INCOMPATIBLE, reason, update_command(point.dist))
    face = ModuleType(f"{point.name} of API {point.api}")
    for family, hook in old.items():
        setattr(face, family.hook, hookimpl(family.spec)(_today(family, hook)))
    return face, attrs.evolve(row, reason=_notice(point), remedy=update_command(point.dist))


def _notice(point: EntryPoint) -> str:
    return (
        f"written for API {point.api}, adapted to v{API[0]}; core with v{API[0] + 1} will refuse it"
    )


def _old_hook(plugin: object, family: Family) -> OldHook | None:
    """A function of the hook's name that takes nothing; one of today's takes a `ctx`."""
    function = getattr(plugin, family.hook, None)
    code = getattr(function, "__code__", None)
    if function is None or code is None or code.co_argcount:
        return None
    old: OldHook = function
    return old


def _today(family: Family, old: OldHook) -> Callable[[HostContext], Iterable[Any]]:
    def records(ctx: HostContext) -> Iterable[Any]:
        return [_record(family, fields) for fields in old()]

    return records


def _record(family: Family, fields: object) -> Any:
    """A record from the fields of a dict.

    Raises:
        PluginError: it is no dict, or has other fields.
    """
    if not isinstance(fields, Mapping):
        raise PluginError(f"API v0 wants dicts, and one of them is {repr_of(fields):.60}")
    try:
        return family.record(**{key: _value(key, value) for key, value in fields.items()})
    except TypeError as error:
        text = str(error).partition("() ")[2] or str(error)
        raise PluginError(f"its dict is no {family.class_name}: {text}") from error


def _value(key: str, value: object) -> object:
    if key not in _LOCATORS or not isinstance(value, str) or ":" in value:
        return value
    return ":".join(value.rsplit(".", 1))
