"""Plans of a training, the strategies that make them, and launchers of its processes.

Records, contracts and three functions, without torch. Import it by
`from deepseek_core import training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import Parameter, signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from deepseek_core.contracts.cluster import Cluster, Group, Link, check_figure, check_whole
from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.contracts.launcher import (
    Command,
    CommandState,
    Launcher,
    LaunchNode,
    Started,
)
from deepseek_core.contracts.strategy import Loss, SplitModel, Strategy, Sums
from deepseek_core.contracts.training import Layer, Profile, TrainingPlan
from deepseek_core.discovery.current import current_plugins
from deepseek_core.discovery.registry import blamed, load_locator
from deepseek_core.discovery.switches import suggestion
from deepseek_core.discovery.watch import watched
from deepseek_core.runtime.launchers import open_launcher
from deepseek_core.schedule.strategies import Planner, Ranking, rank

if TYPE_CHECKING:
    from deepseek_core.contracts.strategy import StrategySpec
    from deepseek_core.discovery.registry import Registered, Registry

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})

__all__ = [
    "Cluster",
    "Command",
    "CommandState",
    "Group",
    "LaunchNode",
    "Launcher",
    "Layer",
    "Link",
    "Loss",
    "Profile",
    "Ranking",
    "SplitModel",
    "Started",
    "Sums",
    "TrainingPlan",
    "check_figure",
    "check_whole",
    "open_launcher",
    "open_strategy",
    "ranked",
]


def open_strategy(
    name: str, options: Mapping[str, Any] | None = None, *, registry: Registry | None = None
) -> Strategy:
    """Make the strategy of that name; `options` are the arguments of its factory by name.

    Raises:
        ConfigError: no plugin offers it, that one lacks what it needs, or an unknown option.
        PluginError: the plugin is broken.
        DeepSeekError: what its probe says, when it can't be used here.
    """
    offered = (current_plugins() if registry is None else registry).strategies
    known = {registered.record.name: registered for registered in offered}
    if name not in known:
        raise ConfigError(
            f"no plugin offers a strategy {name!r}",
            remedy=suggestion(str(name), known) or "ds-sdk list-plugins --kind strategy",
        )
    return _made(known[name], options or {})


def ranked(profile: Profile, cluster: Cluster, *, registry: Registry | None = None) -> Ranking:
    """Plans of all strategies that plugins offer, the soonest step first.

    One that is broken or lacks something is a refusal, and the others are still ranked.
    """
    offered = (current_plugins() if registry is None else registry).strategies
    return rank({found.record.name: _planner(found) for found in offered}, profile, cluster)


def _planner(found: Registered[StrategySpec]) -> Planner:
    def planned(profile: Profile, cluster: Cluster) -> TrainingPlan:
        strategy = _made(found)
        with blamed(found, f"can't plan with strategy {found.record.name}"):
            return strategy.plan(profile, cluster)

    return planned


def _made(found: Registered[StrategySpec], options: Mapping[str, Any] = _NONE) -> Strategy:
    name = found.record.name
    if not found.usable:
        raise ConfigError(f"strategy {name!r} {found.reason}", remedy=found.remedy)
    with watched(found.plugin, f"making strategy {name}"):
        if found.record.probe is not None:
            probe = load_locator(found.record.probe, plugin=found.plugin, dist=found.dist)
            with blamed(found, f"can't probe strategy {name}"):
                probe()
        factory = load_locator(found.record.factory, plugin=found.plugin, dist=found.dist)
        _check_options(name, factory, options)
        with blamed(found, f"can't make strategy {name}"):
            made = factory(**options)
    if not isinstance(made, Strategy):
        raise PluginError(
            f"plugin {found.plugin!r}: {found.record.factory} made a {type(made).__name__}, "
            "which is not a Strategy"
        )
    return made


def _check_options(name: str, factory: Any, options: Mapping[str, Any]) -> None:
    try:
        parameters = signature(factory).parameters
    except ValueError:  # of a class in C
        return
    if any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values()):
        return
    named = {
        key: one.default is Parameter.empty
        for key, one in parameters.items()
        if one.kind in (Parameter.KEYWORD_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    }
    has = f"its options: {', '.join(named) or 'none'}"
    for option in options:
        if option not in named:
            close = suggestion(option, named)
            raise ConfigError(
                f"strategy {name!r} has no option {option!r}",
                remedy=f"{close} {has}" if close else has,
            )
    for key, is_needed in named.items():
        if is_needed and key not in options:
            raise ConfigError(f"strategy {name!r} needs the option {key!r}", remedy=has)
