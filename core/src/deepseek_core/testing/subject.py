"""The plugin under test: found alone, so that no other plugin can disturb the verdict."""

from __future__ import annotations

from functools import cache
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.probe import probe_devices
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import Registered, Registry, load_locator
from deepseek_core.discovery.scan import EntryPoint, scan
from deepseek_core.discovery.switches import Switches, suggestion

FIELDS: Final = {
    "device": "devices",
    "tier": "tiers",
    "strategy": "strategies",
    "compressor": "compressors",
    "frontend": "frontends",
    "command": "commands",
    "executor": "executors",
    "check": "checks",
    "application": "applications",
}
"""Kind of record -> the field of the registry that holds it."""

LOCATORS: Final = ("factory", "probe", "main", "run", "options")
"""Fields of records that name code."""


def entry_points_of(plugin: str) -> tuple[EntryPoint, ...]:
    """The entry points of that name.

    Raises:
        PluginError: none is installed; names those that are close.
    """
    points = scan()
    mine = tuple(point for point in points if point.name == plugin)
    if not mine:
        close = suggestion(plugin, {point.name for point in points})
        raise PluginError(
            f"no plugin {plugin!r} is installed", remedy=close or "ds-sdk list-plugins"
        )
    return mine


def unswitched(**settings: Any) -> Switches:
    """The user's switches without those that leave plugins out; `settings` beat the file's."""
    switches = Switches.resolve()
    return attrs.evolve(
        switches,
        no_plugins=False,
        allow=None,
        disable=(),
        strict=False,
        prefer={},
        settings={**switches.settings, **settings},
    )


@cache
def registry_of(plugin: str) -> Registry:
    """This plugin and nothing else, as discovery finds it.

    Raises:
        PluginError: no such plugin is installed.
    """
    return discover(unswitched(), entry_points=entry_points_of(plugin))


@cache
def probed(plugin: str) -> tuple[ProbeResult, ...]:
    """What its probes of devices find, each in a process of its own and with a limit."""
    registry = registry_of(plugin)
    with TemporaryDirectory(prefix="deepseek-probed-") as folder:
        return probe_devices(
            registry,
            timeout_s=registry.switches.probe_timeout_s,
            cache_dir=Path(folder),
            refresh=True,
        )


def records_of(registry: Registry) -> list[tuple[str, Registered[Any]]]:
    """Every record of a registry with its kind."""
    return [(kind, found) for kind, field in FIELDS.items() for found in getattr(registry, field)]


def load(registered: Registered[Any], locator: str) -> Any:
    """What a locator of this record stands for.

    Raises:
        PluginError: it can't be loaded.
    """
    return load_locator(locator, plugin=registered.plugin, dist=registered.dist)


def locators_of(registered: Registered[Any]) -> list[str]:
    """The code that a record names, where it can be used."""
    if not registered.usable:
        return []
    found = (getattr(registered.record, field, None) for field in LOCATORS)
    return [locator for locator in found if locator is not None]


def ask(registered: Registered[Any]) -> list[Any]:
    """Call the probe of a record as discovery does; the rows of a device's."""
    probe = load(registered, registered.record.probe)
    wants = "settings" in signature(probe).parameters
    rows = probe(settings=dict(registered.settings)) if wants else probe()
    return list(rows or ())
