"""Opens storage tiers by their URLs, whichever plugin they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.contracts.tier import Tier
from deepseek_core.discovery.current import current_plugins
from deepseek_core.discovery.offers import SCHEMES, how_to_get
from deepseek_core.discovery.registry import blamed, load_locator
from deepseek_core.discovery.watch import watched

if TYPE_CHECKING:
    from deepseek_core.contracts.tier import TierSpec
    from deepseek_core.discovery.registry import Registered, Registry


def open_tier(url: str, *, registry: Registry | None = None) -> Tier:
    """The tier that this URL stands for; of several plugins that open it, the highest priority.

    Raises:
        ConfigError: no plugin opens URLs of this scheme, or that one lacks what it needs.
        StorageError: the plugin refused.
        PluginError: the plugin is broken.
    """
    found = _find(url, current_plugins() if registry is None else registry)
    with watched(found.plugin, f"opening {url}"):
        factory = load_locator(found.record.factory, plugin=found.plugin, dist=found.dist)
        with blamed(found, f"can't open {url}"):
            tier = factory(url)
    if not isinstance(tier, Tier):
        made = f"made a {type(tier).__name__}, which is not a Tier"
        raise PluginError(f"plugin {found.plugin!r}: {found.record.factory} {made}")
    return tier


def _find(url: str, registry: Registry) -> Registered[TierSpec]:
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigError(
            f"a tier must be given as a URL, got {url!r}", remedy="write it as SCHEME://PLACE"
        )
    fitting = [r for r in registry.tiers if scheme in r.record.schemes]
    usable = sorted((r for r in fitting if r.usable), key=lambda r: -r.record.priority)
    if usable:
        return usable[0]
    if fitting:
        raise ConfigError(
            f"plugin {fitting[0].plugin!r} opens {scheme}: URLs, but {fitting[0].reason}",
            remedy=fitting[0].remedy,
        )
    known = sorted({name for r in registry.tiers for name in r.record.schemes})
    reason = f"no plugin opens {scheme}: URLs; known schemes: {', '.join(known) or 'none'}"
    why, remedy = how_to_get(scheme, SCHEMES, registry.plugins) or ("", "ds-sdk list-plugins")
    raise ConfigError("; ".join(filter(None, (reason, why))), remedy=remedy)
