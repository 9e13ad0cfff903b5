"""Makes compressors by name, whichever plugin they come from, with checked options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core.contracts.compressor import Compressor
from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.discovery.current import current_plugins
from deepseek_core.discovery.registry import blamed, load_locator
from deepseek_core.discovery.switches import suggestion
from deepseek_core.discovery.watch import watched
from deepseek_core.runtime.options import Wording, resolved

if TYPE_CHECKING:
    from deepseek_core.contracts.compression.score import Score
    from deepseek_core.contracts.compression.step import ModelCompressor
    from deepseek_core.contracts.compressor import CompressorSpec
    from deepseek_core.discovery.registry import Registered, Registry


@attrs.frozen(kw_only=True, eq=False)
class OpenedCompressor:
    """A compressor with its record; `options` are all of them, defaults filled in."""

    spec: CompressorSpec
    compressor: Compressor | ModelCompressor | Score
    options: Mapping[str, Any] = attrs.field(factory=dict)
    version: str = ""

    @staticmethod
    def offered(target: str, *, registry: Registry | None = None) -> dict[str, str]:
        """Names of all compressors for a target, each with the distribution that offers it.

        Those that lack something are included.
        """
        known = (current_plugins() if registry is None else registry).compressors
        return {each.record.name: each.dist for each in known if each.record.target == target}


def open_compressor(
    name: str, options: Mapping[str, Any] | None = None, *, registry: Registry | None = None
) -> OpenedCompressor:
    """Make the compressor of that name; its `options` are those of a recipe's step.

    Raises:
        ConfigError: no plugin offers it, that one lacks what it needs, or an option is missing,
            unknown (the nearest one is named) or does not fit.
        PluginError: the plugin is broken.
        DeepSeekError: what its probe or the compressor itself says, when it can't be used here.
    """
    found = _find(name, (current_plugins() if registry is None else registry).compressors)
    wording = Wording(where=f"step {found.record.name!r}", place="step")
    told = resolved(found, dict(options or {}), wording)
    _probe(found)
    with watched(found.plugin, f"making compressor {name}"):
        factory = load_locator(found.record.factory, plugin=found.plugin, dist=found.dist)
        with blamed(found, f"can't make compressor {name}"):
            made = factory(**told)
    _check_kind(found, made)
    return OpenedCompressor(spec=found.record, compressor=made, options=told, version=found.version)


def _find(name: str, offered: Iterable[Registered[CompressorSpec]]) -> Registered[CompressorSpec]:
    known = {registered.record.name: registered for registered in offered}
    if name not in known:
        raise ConfigError(
            f"no plugin offers a compressor {name!r}",
            remedy=suggestion(str(name), known) or "ds-sdk list-plugins --kind compressor",
        )
    found = known[name]
    if not found.usable:
        raise ConfigError(f"compressor {name!r} {found.reason}", remedy=found.remedy)
    return found


def _probe(found: Registered[CompressorSpec]) -> None:
    """Let a compressor that asks what is here do so, before anything is made."""
    if found.record.probe is not None:
        with watched(found.plugin, f"the probe of compressor {found.record.name}"):
            probe = load_locator(found.record.probe, plugin=found.plugin, dist=found.dist)
            with blamed(found, f"can't probe compressor {found.record.name}"):
                probe()


def _check_kind(found: Registered[CompressorSpec], made: object) -> None:
    kind = _kind_of(found.record.target)
    if not isinstance(made, kind):
        raise PluginError(
            f"plugin {found.plugin!r}: {found.record.factory} made a {type(made).__name__}, "
            f"which is no {kind.__name__}"
        )


def _kind_of(target: str) -> type[Any]:
    """What a factory makes for a target."""
    from deepseek_core.contracts import compression

    kinds = {"model": compression.ModelCompressor, "channels": compression.Score}
    return kinds.get(target, Compressor)
