"""Opens storage tiers by their URLs, whichever plugin they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.tier import Tier
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.registry import load_locator

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
    found = _find(url, discover() if registry is None else registry)
    factory = load_locator(found.record.factory, plugin=found.plugin, dist=found.dist)
    return cast(Tier, factory(url))


def _find(url: str, registry: Registry) -> Registered[TierSpec]:
    scheme, colon, _ = url.partition(":")
    if not colon:
        raise ConfigError(f"{url!r} is no URL of a tier", remedy="write it as SCHEME://PLACE")
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
    raise ConfigError(
        f"no plugin opens {scheme}: URLs; known schemes: {', '.join(known) or 'none'}",
        remedy=(
            "pip install deepseek-storage-local (file:) or deepseek-storage-s3 (s3:); "
            "ds-sdk list-plugins"
        ),
    )
