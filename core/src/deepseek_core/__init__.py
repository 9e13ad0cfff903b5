"""Public API of the SDK: everything that plugins and users import, loaded on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepseek_core.cli import console as console
    from deepseek_core.contracts import compression as compression
    from deepseek_core.contracts import errors as errors
    from deepseek_core.contracts import events as events
    from deepseek_core.contracts import place as places
    from deepseek_core.contracts.application import ApplicationSpec
    from deepseek_core.contracts.artifact import Artifact
    from deepseek_core.contracts.batching import Batching
    from deepseek_core.contracts.check import CheckSpec, Finding
    from deepseek_core.contracts.command import CommandSpec
    from deepseek_core.contracts.compressor import Compressor, CompressorSpec, Packed
    from deepseek_core.contracts.convert import as_array
    from deepseek_core.contracts.device import (
        BoundCall,
        Concurrency,
        Device,
        DeviceInfo,
        DeviceSpec,
        Estimate,
        Executable,
        LoadOptions,
        OpenOptions,
        Support,
    )
    from deepseek_core.contracts.errors import DeepSeekError
    from deepseek_core.contracts.executor import Executor, ExecutorSpec
    from deepseek_core.contracts.frontend import Frontend, FrontendSpec, ReadOptions
    from deepseek_core.contracts.graph import Graph
    from deepseek_core.contracts.mesh import Mesh
    from deepseek_core.contracts.secret import Secret
    from deepseek_core.contracts.stage import Operation, Stage, Task, Work
    from deepseek_core.contracts.strategy import Strategy, StrategySpec
    from deepseek_core.contracts.task import LatencyClass, Workload
    from deepseek_core.contracts.tensor import HostTensor, TensorSpec
    from deepseek_core.contracts.tier import ObjectStat, Tier, TierProfile, TierSpec
    from deepseek_core.discovery import hooks as hooks
    from deepseek_core.discovery.hooks import HostContext, hookimpl
    from deepseek_core.discovery.listeners import emit
    from deepseek_core.runtime import applications as applications
    from deepseek_core.runtime import training as training
    from deepseek_core.runtime.compressors import OpenedCompressor, open_compressor
    from deepseek_core.runtime.plan import Plan
    from deepseek_core.runtime.server import Server
    from deepseek_core.runtime.session import Session
    from deepseek_core.runtime.tiers import open_tier
    from deepseek_core.schedule.online.rules import Rules

# name -> the module below this package that owns it
_HOME = {
    "ApplicationSpec": "contracts.application",
    "Artifact": "contracts.artifact",
    "Batching": "contracts.batching",
    "BoundCall": "contracts.device",
    "CheckSpec": "contracts.check",
    "CommandSpec": "contracts.command",
    "Compressor": "contracts.compressor",
    "CompressorSpec": "contracts.compressor",
    "Concurrency": "contracts.device",
    "DeepSeekError": "contracts.errors",
    "Device": "contracts.device",
    "DeviceInfo": "contracts.device",
    "DeviceSpec": "contracts.device",
    "Estimate": "contracts.device",
    "Executable": "contracts.device",
    "Executor": "contracts.executor",
    "ExecutorSpec": "contracts.executor",
    "Finding": "contracts.check",
    "Frontend": "contracts.frontend",
    "FrontendSpec": "contracts.frontend",
    "Graph": "contracts.graph",
    "HostContext": "discovery.hooks",
    "HostTensor": "contracts.tensor",
    "LatencyClass": "contracts.task",
    "LoadOptions": "contracts.device",
    "Mesh": "contracts.mesh",
    "ObjectStat": "contracts.tier",
    "OpenOptions": "contracts.device",
    "OpenedCompressor": "runtime.compressors",
    "Operation": "contracts.stage",
    "Packed": "contracts.compressor",
    "Plan": "runtime.plan",
    "ReadOptions": "contracts.frontend",
    "Rules": "schedule.online.rules",
    "Secret": "contracts.secret",
    "Server": "runtime.server",
    "Session": "runtime.session",
    "Stage": "contracts.stage",
    "Strategy": "contracts.strategy",
    "StrategySpec": "contracts.strategy",
    "Support": "contracts.device",
    "Task": "contracts.stage",
    "TensorSpec": "contracts.tensor",
    "Tier": "contracts.tier",
    "TierProfile": "contracts.tier",
    "TierSpec": "contracts.tier",
    "Work": "contracts.stage",
    "Workload": "contracts.task",
    "as_array": "contracts.convert",
    "emit": "discovery.listeners",
    "hookimpl": "discovery.hooks",
    "open_compressor": "runtime.compressors",
    "open_tier": "runtime.tiers",
}
_MODULES = {
    "applications": "runtime.applications",
    "compression": "contracts.compression",
    "console": "cli.console",
    "errors": "contracts.errors",
    "events": "contracts.events",
    "hooks": "discovery.hooks",
    "places": "contracts.place",
    "training": "runtime.training",
}

__all__ = [
    "ApplicationSpec",
    "Artifact",
    "Batching",
    "BoundCall",
    "CheckSpec",
    "CommandSpec",
    "Compressor",
    "CompressorSpec",
    "Concurrency",
    "DeepSeekError",
    "Device",
    "DeviceInfo",
    "DeviceSpec",
    "Estimate",
    "Executable",
    "Executor",
    "ExecutorSpec",
    "Finding",
    "Frontend",
    "FrontendSpec",
    "Graph",
    "HostContext",
    "HostTensor",
    "LatencyClass",
    "LoadOptions",
    "Mesh",
    "ObjectStat",
    "OpenOptions",
    "OpenedCompressor",
    "Operation",
    "Packed",
    "Plan",
    "ReadOptions",
    "Rules",
    "Secret",
    "Server",
    "Session",
    "Stage",
    "Strategy",
    "StrategySpec",
    "Support",
    "Task",
    "TensorSpec",
    "Tier",
    "TierProfile",
    "TierSpec",
    "Work",
    "Workload",
    "applications",
    "as_array",
    "compression",
    "console",
    "emit",
    "errors",
    "events",
    "hookimpl",
    "hooks",
    "open_compressor",
    "open_tier",
    "places",
    "training",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{_MODULES[name]}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
