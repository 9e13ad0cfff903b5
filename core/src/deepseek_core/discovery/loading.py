"""What a child tells of the plugins that it loads: rows, checks, and one plugin in detail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs

from deepseek_core.contracts.secret import masked, sources
from deepseek_core.discovery.families import FAMILIES
from deepseek_core.discovery.loader import discover, load_entry_point
from deepseek_core.discovery.registry import Registered, Registry
from deepseek_core.discovery.settings import settings_of
from deepseek_core.discovery.strangers import raise_if_ours
from deepseek_core.discovery.switches import Switches


def load(only: str | None = None) -> dict[str, object]:
    """Load every plugin, or the one named `dist:name`, of which it tells more.

    Raises:
        ConfigError: a switch is malformed.
    """
    switches = attrs.evolve(Switches.resolve(), strict=False)
    if only is not None:
        switches = attrs.evolve(switches, allow=(only,), disable=(), prefer={})
        for family in FAMILIES:
            assert family.record  # imported now, so that the plugin's load time is its own
    registry = discover(switches)
    told: dict[str, object] = {
        "plugins": [row.to_json() for row in registry.plugins],
        "checks": [_check(check) for check in registry.checks],
        "notices": [attrs.asdict(notice) for notice in registry.notices],
        # Their names, so that the parent masks the same.
        "secrets": sources(),
    }
    return masked(told | (_detail(registry) if only else {}))  # type: ignore[no-any-return]


def _check(check: Registered[Any]) -> dict[str, object]:
    return {
        "name": check.record.name,
        "run": check.record.run,
        "plugin": check.plugin,
        "dist": check.dist,
        "version": check.version,
        "reason": check.reason,
        "remedy": check.remedy,
        "settings": dict(check.settings),
    }


def _detail(registry: Registry) -> dict[str, object]:
    return {"records": list(_records(registry)), "settings": _settings(registry)}


def _records(registry: Registry) -> Iterator[dict[str, object]]:
    for family in FAMILIES:
        for registered in getattr(registry, family.field):
            fields = attrs.asdict(registered.record)
            plain = {key: _plain(value) for key, value in fields.items()}
            yield {"family": family.kind, **plain, "reason": registered.reason}


def _plain(value: Any) -> object:
    if isinstance(value, list | tuple | frozenset | set):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _settings(registry: Registry) -> list[dict[str, object]] | None:
    """The settings as far as they can be shown; None if the plugin declares none."""
    for point in registry.resolved:
        try:
            found = settings_of(load_entry_point(point.value), point.name, registry.switches)
        except BaseException as error:  # noqa: BLE001 - the row says what is wrong
            raise_if_ours(error)
            return None
        return None if found is None else [setting.to_json() for setting in found]
    return None
