"""Makes compressors by name, whichever plugin they come from, with checked options."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, get_type_hints

import attrs

from deepseek_core.contracts.compressor import Compressor
from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.discovery.current import current_plugins
from deepseek_core.discovery.registry import blamed, load_locator
from deepseek_core.discovery.settings import fitted
from deepseek_core.discovery.strangers import one_line
from deepseek_core.discovery.switches import suggestion
from deepseek_core.discovery.watch import watched

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
    resolved = _resolved(found, dict(options or {}))
    _probe(found)
    with watched(found.plugin, f"making compressor {name}"):
        factory = load_locator(found.record.factory, plugin=found.plugin, dist=found.dist)
        with blamed(found, f"can't make compressor {name}"):
            made = factory(**resolved)
    _check_kind(found, made)
    return OpenedCompressor(
        spec=found.record, compressor=made, options=resolved, version=found.version
    )


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


def _resolved(found: Registered[CompressorSpec], given: dict[str, Any]) -> dict[str, Any]:
    """The options with their defaults, each as its annotation wants it."""
    where = f"step {found.record.name!r}"
    if found.record.options is None:
        if given:
            raise ConfigError(f"{where} has no options; given {', '.join(given)}")
        return {}
    kind = load_locator(found.record.options, plugin=found.plugin, dist=found.dist)
    if not (isinstance(kind, type) and attrs.has(kind)):
        raise PluginError(f"plugin {found.plugin!r}: {found.record.options} is not an attrs class")
    hints = get_type_hints(kind)
    names = [field.alias or field.name for field in attrs.fields(kind) if field.init]
    for key in given:
        if key not in names:
            close = suggestion(str(key), names)
            known = f"its options: {', '.join(names) or 'none'}"
            raise ConfigError(f"{where} has no option {key!r}", remedy=close or known)
    needed = [
        field.alias or field.name
        for field in attrs.fields(kind)
        if field.init and field.default is attrs.NOTHING
    ]
    for name in needed:
        if name not in given:
            raise ConfigError(f"{where} needs {name}", remedy=f"add {name} to the step")
    values = {key: _value(value, hints.get(key, object), f"{where}: {key}")
              for key, value in given.items()}  # fmt: skip
    try:
        made = kind(**values)
    except ConfigError:
        raise
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {one_line(error)}", remedy="correct the step") from error
    return {name: getattr(made, name) for name in names}


def _value(value: Any, hint: Any, where: str) -> Any:
    try:
        return fitted(value, hint)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{where} must be {error}, got {value!r}", remedy="correct the step"
        ) from error


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
