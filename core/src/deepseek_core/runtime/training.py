"""Plans of a training: what they are made of, and the strategies that make them.

Records, contracts and two functions, without torch. Import it by
`from deepseek_core import training`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepseek_core.contracts.cluster import Cluster, Group, Link, check_figure, check_whole
from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.contracts.strategy import Loss, SplitModel, Strategy, Sums
from deepseek_core.contracts.training import Layer, Profile, TrainingPlan
from deepseek_core.discovery.current import current_plugins
from deepseek_core.discovery.registry import blamed, load_locator
from deepseek_core.discovery.switches import suggestion
from deepseek_core.discovery.watch import watched
from deepseek_core.schedule.strategies import Planner, Ranking, rank

if TYPE_CHECKING:
    from deepseek_core.contracts.strategy import StrategySpec
    from deepseek_core.discovery.registry import Registered, Registry

__all__ = [
    "Cluster",
    "Group",
    "Layer",
    "Link",
    "Loss",
    "Profile",
    "Ranking",
    "SplitModel",
    "Sums",
    "TrainingPlan",
    "check_figure",
    "check_whole",
    "open_strategy",
    "ranked",
]


def open_strategy(name: str, *, registry: Registry | None = None) -> Strategy:
    """Make the strategy of that name.

    Raises:
        ConfigError: no plugin offers it, or that one lacks what it needs.
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
    return _made(known[name])


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


def _made(found: Registered[StrategySpec]) -> Strategy:
    name = found.record.name
    if not found.usable:
        raise ConfigError(f"strategy {name!r} {found.reason}", remedy=found.remedy)
    with watched(found.plugin, f"making strategy {name}"):
        for locator in filter(None, (found.record.probe, found.record.factory)):
            code = load_locator(locator, plugin=found.plugin, dist=found.dist)
            with blamed(found, f"can't make strategy {name}"):
                made = code()
    if not isinstance(made, Strategy):
        raise PluginError(
            f"plugin {found.plugin!r}: {found.record.factory} made a {type(made).__name__}, "
            "which is no Strategy"
        )
    return made
