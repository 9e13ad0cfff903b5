"""The classes that check a plugin: those that it ships, and made ones for what it left out."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any, Final

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.application import ApplicationConformance
from deepseek_core.testing.command import CommandConformance
from deepseek_core.testing.compressor import CompressorConformance
from deepseek_core.testing.device import DeviceConformance
from deepseek_core.testing.executor import ExecutorConformance
from deepseek_core.testing.facts import facts_of
from deepseek_core.testing.frontend import FrontendConformance
from deepseek_core.testing.listener import ListenerConformance
from deepseek_core.testing.model_compressor import ModelCompressorConformance
from deepseek_core.testing.plugin import PluginConformance
from deepseek_core.testing.score import ScoreConformance
from deepseek_core.testing.strategy import StrategyConformance
from deepseek_core.testing.subject import entry_points_of, records_of, registry_of
from deepseek_core.testing.tier import TierConformance

CLASSES: Final[dict[str, type[PluginConformance]]] = {
    "application": ApplicationConformance,
    "command": CommandConformance,
    "compressor": CompressorConformance,
    "device": DeviceConformance,
    "executor": ExecutorConformance,
    "frontend": FrontendConformance,
    "strategy": StrategyConformance,
    "tier": TierConformance,
}
"""Kind of record -> the class with its rules."""


def class_for(kind: str, record: Any) -> type[PluginConformance]:
    """The class with the rules of this record: what is for models has its own."""
    of_models = {"model": ModelCompressorConformance, "channels": ScoreConformance}
    if kind == "compressor" and record.target in of_models:
        return of_models[record.target]
    return CLASSES[kind]


def classes_of(plugin: str) -> dict[str, type[PluginConformance]]:
    """Test classes by the names under which pytest collects them.

    Raises:
        PluginError: no such plugin, or its `conformance` names no module with classes.
    """
    if not facts_of(plugin).loads:
        return {"TestPlugin": _made(plugin, PluginConformance)}
    shipped = _shipped(plugin)
    classes = {f"Test{cls.__name__.removeprefix('Test')}": cls for cls in shipped}
    for kind, registered in records_of(registry_of(plugin)):
        if kind in CLASSES and not any(_covers(cls, kind, registered) for cls in shipped):
            base = class_for(kind, registered.record)
            made = _made(plugin, base, registered.record.name)
            classes[f"Test_{kind}_{registered.record.name}"] = made
    listens = plugin in registry_of(plugin).listeners
    if listens and not any(issubclass(cls, ListenerConformance) for cls in shipped):
        classes["Test_listener"] = _made(plugin, ListenerConformance)
    return classes or {"TestPlugin": _made(plugin, PluginConformance)}


def _made(plugin: str, base: type[PluginConformance], name: str = "") -> type[PluginConformance]:
    """A class with nothing of the author's: rules that need it are `not implemented`."""
    fields: dict[str, Any] = {"plugin": plugin, "name": name, "generated": True}
    return type(f"Test_{base.kind or 'plugin'}_{name}".rstrip("_"), (base,), fields)


def _covers(cls: type[PluginConformance], kind: str, registered: Registered[Any]) -> bool:
    if cls.kind != kind or cls.name not in ("", registered.record.name):
        return False
    return issubclass(cls, class_for(kind, registered.record))


def _shipped(plugin: str) -> list[type[PluginConformance]]:
    """The classes of the module that the plugin's `conformance` names."""
    hooks = _hook_module(entry_points_of(plugin)[0].value)
    name = getattr(hooks, "conformance", None)
    if name is None:
        return []
    try:
        module = import_module(name)
    except ImportError as error:
        raise PluginError(
            f"plugin {plugin!r}: conformance = {name!r} can't be imported: {error}",
            remedy="ship that module inside the package",
        ) from error
    classes = list(_collected(vars(module).values(), plugin))
    if not classes:
        raise PluginError(
            f"plugin {plugin!r}: {name} has no class with plugin = {plugin!r}",
            remedy="inherit DeviceConformance or its like there",
        )
    return classes


def _hook_module(value: str) -> object:
    module, _, path = value.partition("[")[0].partition(":")
    found: object = import_module(module.strip())
    for part in filter(None, path.strip().split(".")):
        found = getattr(found, part)
    return found


def _collected(values: Iterable[object], plugin: str) -> Iterable[type[PluginConformance]]:
    for value in values:
        if not (isinstance(value, type) and issubclass(value, PluginConformance)):
            continue
        if value.__test__ and value.plugin == plugin:
            yield value
