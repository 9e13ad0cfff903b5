"""Applications: whole jobs that plugins offer, and what they say of their data and models.

Records, one contract and two functions. Import it by `from deepseek_core import applications`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from deepseek_core.contracts.application import Application, ApplicationContext, ApplicationSpec
from deepseek_core.contracts.data_card import DataCard
from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.contracts.evaluation import Evaluation
from deepseek_core.contracts.scores import Curve, Difference, Measure, Score
from deepseek_core.discovery.current import current_plugins
from deepseek_core.discovery.registry import blamed, load_locator
from deepseek_core.discovery.switches import suggestion
from deepseek_core.discovery.watch import watched
from deepseek_core.runtime.options import OptionField, Wording, described, resolved

if TYPE_CHECKING:
    from deepseek_core.discovery.registry import Registered, Registry

__all__ = [
    "Application",
    "ApplicationContext",
    "ApplicationSpec",
    "Curve",
    "DataCard",
    "Difference",
    "Evaluation",
    "Measure",
    "Offer",
    "OpenedApplication",
    "OptionField",
    "Score",
    "offers",
    "open_application",
]


@attrs.frozen(kw_only=True, eq=False)
class OpenedApplication:
    """An application with its record; `options` are all of them, defaults filled in.

    `plugin`, `dist` and `version` say whose it is.
    """

    spec: ApplicationSpec
    application: Application
    options: Mapping[str, Any] = attrs.field(factory=dict)
    plugin: str = ""
    dist: str = ""
    version: str = ""


@attrs.frozen(kw_only=True)
class Offer:
    """An application that a plugin offers; `reason` and `remedy` say why it can't be used."""

    spec: ApplicationSpec
    plugin: str
    dist: str
    version: str
    reason: str | None = None
    remedy: str | None = None
    _found: Registered[ApplicationSpec] = attrs.field(repr=False, eq=False)

    def options(self) -> tuple[OptionField, ...]:
        """List the options, as a person reads of them; imports the code.

        Raises:
            PluginError: the plugin is broken.
        """
        return described(self._found)


def offers(*, registry: Registry | None = None) -> dict[str, Offer]:
    """All applications by name, those that lack something included."""
    known = (current_plugins() if registry is None else registry).applications
    return {
        found.record.name: Offer(
            spec=found.record, plugin=found.plugin, dist=found.dist, version=found.version,
            reason=found.reason, remedy=found.remedy, found=found,
        )
        for found in known
    }  # fmt: skip


def open_application(
    name: str, options: Mapping[str, Any] | None = None, *, registry: Registry | None = None
) -> OpenedApplication:
    """Make the application of that name; text among its `options` is read as its type wants it.

    Raises:
        ConfigError: no plugin offers it, that one lacks what it needs, or an option is missing,
            unknown (the nearest one is named) or does not fit.
        PluginError: the plugin is broken.
        DeepSeekError: what the application itself says, when it can't be used here.
    """
    found = _find(name, (current_plugins() if registry is None else registry).applications)
    wording = Wording(where=f"application {name!r}", place="options")
    with watched(found.plugin, f"making application {name}"):
        told = resolved(found, dict(options or {}), wording)
        factory = load_locator(found.record.factory, plugin=found.plugin, dist=found.dist)
        with blamed(found, f"can't make application {name}"):
            made = factory(**told)
    if not isinstance(made, Application):
        raise PluginError(
            f"plugin {found.plugin!r}: {found.record.factory} made a {type(made).__name__}, "
            "which is no Application"
        )
    return OpenedApplication(
        spec=found.record, application=made, options=told,
        plugin=found.plugin, dist=found.dist, version=found.version,
    )  # fmt: skip


def _find(name: str, offered: Iterable[Registered[ApplicationSpec]]) -> Registered[ApplicationSpec]:
    known = {registered.record.name: registered for registered in offered}
    if name not in known:
        raise ConfigError(
            f"no plugin offers an application {name!r}",
            remedy=suggestion(str(name), known) or "ds-sdk app list",
        )
    found = known[name]
    if not found.usable:
        raise ConfigError(f"application {name!r} {found.reason}", remedy=found.remedy)
    return found
