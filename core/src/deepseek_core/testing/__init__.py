"""Conformance kit for plugins: inherit a class, name your plugin, get all promises tested.

    from deepseek_core.testing import DeviceCase, DeviceConformance

    class TestNpu(DeviceConformance):
        plugin = "acme_npu"
        name = "npu"
        device_id = "npu:0"

        def cases(self):
            return [DeviceCase(stage=..., inputs=..., expected=...)]

Three ways in: such classes in your own tests; `ds-sdk check-plugin acme_npu`; and
`pytest -p deepseek_core.testing --pyargs deepseek_core.testing.suite --ds-plugin acme_npu`.
For the last two ship the classes inside your package and name their module in the module of
your hooks: `conformance = "acme_npu.conformance"`.

Needs pytest and numpy; nothing else of the SDK imports it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from deepseek_core.testing.application import ApplicationConformance
    from deepseek_core.testing.command import CommandConformance
    from deepseek_core.testing.compressor import CompressorConformance
    from deepseek_core.testing.device import DeviceConformance
    from deepseek_core.testing.device_case import DeviceCase
    from deepseek_core.testing.executor import ExecutorConformance
    from deepseek_core.testing.frontend import FrontendConformance
    from deepseek_core.testing.hearing import listening
    from deepseek_core.testing.listener import ListenerConformance
    from deepseek_core.testing.model_compressor import ModelCompressorConformance
    from deepseek_core.testing.plugin import PluginConformance
    from deepseek_core.testing.score import ScoreConformance
    from deepseek_core.testing.strategy import StrategyConformance
    from deepseek_core.testing.strategy_training import TrainingCase
    from deepseek_core.testing.tier import TierConformance

# name -> the module of this package that owns it
_HOME = {
    "ApplicationConformance": "application",
    "CommandConformance": "command",
    "CompressorConformance": "compressor",
    "DeviceCase": "device_case",
    "DeviceConformance": "device",
    "ExecutorConformance": "executor",
    "FrontendConformance": "frontend",
    "ListenerConformance": "listener",
    "ModelCompressorConformance": "model_compressor",
    "PluginConformance": "plugin",
    "ScoreConformance": "score",
    "StrategyConformance": "strategy",
    "TierConformance": "tier",
    "TrainingCase": "strategy_training",
    "listening": "hearing",
}

__all__ = [
    "ApplicationConformance",
    "CommandConformance",
    "CompressorConformance",
    "DeviceCase",
    "DeviceConformance",
    "ExecutorConformance",
    "FrontendConformance",
    "ListenerConformance",
    "ModelCompressorConformance",
    "PluginConformance",
    "ScoreConformance",
    "StrategyConformance",
    "TierConformance",
    "TrainingCase",
    "listening",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    _rewrite_asserts()
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def _rewrite_asserts() -> None:
    """Let a failed rule show its values, where no `pytest_plugins` has seen to that already."""
    import sys
    from pkgutil import iter_modules

    import pytest

    names = (f"{__name__}.{module.name}" for module in iter_modules(__path__))
    pytest.register_assert_rewrite(*(name for name in names if name not in sys.modules))


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options of the suite."""
    group = parser.getgroup("deepseek", "conformance of plugins of the DeepSeek SDK")
    group.addoption("--ds-plugin", metavar="NAME", help="plugin that the suite checks")
    group.addoption("--ds-events", metavar="FILE", help="write what happens as lines of JSON")
    group.addoption("--ds-only", metavar="FILE", help="run only the tests that this file names")
    group.addoption("--ds-group", metavar="NAME", help="run only the rules of this group")
    group.addoption("--ds-facts", metavar="FILE", help="what a listing did, once for all processes")


def pytest_configure(config: pytest.Config) -> None:
    """Choose the plugin that the suite checks, and report for `ds-sdk check-plugin`."""
    from deepseek_core.testing import selection
    from deepseek_core.testing.outcomes import Outcomes

    selection.chosen = config.getoption("--ds-plugin")
    selection.facts = config.getoption("--ds-facts")
    config.pluginmanager.register(Outcomes(), "deepseek-outcomes")
    if config.getoption("--ds-events"):
        from deepseek_core.testing.events import Reporter

        names = ("--ds-events", "--ds-only", "--ds-group")
        reporter = Reporter(*map(config.getoption, names))
        config.pluginmanager.register(reporter, "deepseek-events")
