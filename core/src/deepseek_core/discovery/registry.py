"""The plugins of one process and what they offer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import attrs

from deepseek_core.contracts.errors import ArtifactError, ConfigError, DeepSeekError, PluginError
from deepseek_core.discovery.hooks import Hooks, ds_on_event
from deepseek_core.discovery.installing import disable_setting, update_or_disable
from deepseek_core.discovery.scan import EntryPoint
from deepseek_core.discovery.status import PluginRow
from deepseek_core.discovery.strangers import one_line, raise_if_ours
from deepseek_core.discovery.switches import Switches

if TYPE_CHECKING:
    from deepseek_core.contracts.application import ApplicationSpec
    from deepseek_core.contracts.check import CheckSpec
    from deepseek_core.contracts.command import CommandSpec
    from deepseek_core.contracts.compressor import CompressorSpec
    from deepseek_core.contracts.device import DeviceSpec
    from deepseek_core.contracts.executor import ExecutorSpec
    from deepseek_core.contracts.frontend import FrontendSpec
    from deepseek_core.contracts.strategy import StrategySpec
    from deepseek_core.contracts.tier import TierSpec
    from deepseek_core.discovery.notices import Notice


if TYPE_CHECKING:
    from deepseek_core.contracts.events.base import Event  # 1 ms of start-up, for an annotation

S = TypeVar("S")


@attrs.frozen(kw_only=True)
class Registered(Generic[S]):
    """A record with its author: plugin (entry point), distribution and version.

    `reason` and `remedy` say why it can't be used: a module that it requires is missing. `ours`
    says that it comes from the SDK's own plugin: no stranger takes it out of service. `settings`
    are what its probe or check is told in a process of its own: no secret is among them.
    """

    record: S
    plugin: str
    dist: str
    version: str
    ours: bool = False
    reason: str | None = None
    remedy: str | None = None
    settings: Mapping[str, object] = attrs.field(factory=dict, repr=False)

    @property
    def usable(self) -> bool:
        """Whether everything that it requires is installed."""
        return self.reason is None


@attrs.frozen(kw_only=True, eq=False)
class Registry:
    """What discovery found; records come in order of plugin name, as the plugin gave them.

    `resolved` are the entry points that switches and metadata let load, whatever then happened;
    `settings` holds what each plugin was told, by its name; `notices` are about switches that
    name what is not there. `listener_errors` says what listeners raised first, and `absent` are
    those that have not returned from an event.
    """

    plugins: tuple[PluginRow, ...]
    switches: Switches
    notices: tuple[Notice, ...] = ()
    devices: tuple[Registered[DeviceSpec], ...] = ()
    tiers: tuple[Registered[TierSpec], ...] = ()
    strategies: tuple[Registered[StrategySpec], ...] = ()
    compressors: tuple[Registered[CompressorSpec], ...] = ()
    frontends: tuple[Registered[FrontendSpec], ...] = ()
    commands: tuple[Registered[CommandSpec], ...] = ()
    executors: tuple[Registered[ExecutorSpec], ...] = ()
    checks: tuple[Registered[CheckSpec], ...] = ()
    applications: tuple[Registered[ApplicationSpec], ...] = ()
    resolved: tuple[EntryPoint, ...] = attrs.field(default=(), repr=False)
    settings: Mapping[str, Mapping[str, object]] = attrs.field(factory=dict, repr=False)
    listener_errors: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)
    absent: set[str] = attrs.field(factory=set, init=False, repr=False)
    _hooks: Hooks | None = attrs.field(default=None, repr=False)

    @property
    def has_listeners(self) -> bool:
        """Whether a plugin listens to events."""
        return self._hooks is not None and self._hooks.implemented(ds_on_event)

    @property
    def listeners(self) -> tuple[str, ...]:
        """Names of the plugins that listen to events, in the order in which they are told."""
        return () if self._hooks is None else self._hooks.implementers(ds_on_event)

    def emit(self, event: Event) -> None:
        """Tell the listeners among these plugins, in a thread of their own; see `courier.py`."""
        if self.has_listeners:
            from deepseek_core.discovery.courier import COURIER

            COURIER.take(self, event)

    def settle(self, within_s: float = 1.0) -> None:
        """Wait so long at most until the listeners have heard what was emitted."""
        if self.has_listeners:
            from deepseek_core.discovery.courier import COURIER

            COURIER.drain(within_s)

    def tell(self, plugin: str, event: Event) -> None:
        """Tell one listener, here and now; that it raises is noted once.

        It is not watched: the program goes on meanwhile, and its changes would be taken for those
        of the listener.
        """
        assert self._hooks is not None
        (result,) = self._hooks.call_one(plugin, ds_on_event, event)
        if result.error is not None and plugin not in self.listener_errors:
            text = one_line(result.error)
            self.listener_errors[plugin] = text
            _note(plugin, type(event).__name__, text)

    def plugin(self, name: str) -> PluginRow:
        """The row of a plugin.

        Raises:
            PluginError: there is none of that name.
        """
        for row in self.plugins:
            if row.name == name:
                return row
        raise PluginError(f"no plugin {name!r} is installed", remedy="ds-sdk list-plugins")


def load_locator(locator: str, *, plugin: str, dist: str | None = None) -> Any:
    """What a record's `package.module:Name` stands for; this is where heavy imports happen.

    Raises:
        PluginError: the module fails to import or has no such name.
    """
    from importlib import import_module

    module, _, name = locator.partition(":")
    try:
        return getattr(import_module(module), name)
    except BaseException as error:
        raise_if_ours(error)
        from deepseek_core.discovery import faults

        otherwise = update_or_disable(dist, plugin) if dist else disable_setting(plugin)
        raise PluginError(
            f"plugin {plugin!r}: can't load {locator}: {one_line(error)}",
            remedy=faults.other_system(error) or otherwise,
        ) from error


@contextmanager
def blamed(found: Registered[Any], deed: str) -> Iterator[None]:
    """Name the plugin in whatever its code raises in the block, which does the deed.

    Raises:
        PluginError: it raised what is no error of the SDK; those pass as they are.
    """
    try:
        yield
    except DeepSeekError:
        raise
    except BaseException as error:
        raise_if_ours(error)
        raise PluginError(
            f"plugin {found.plugin!r} {deed}: {one_line(error)}",
            remedy=update_or_disable(found.dist, found.plugin),
        ) from error


def find_frontend(registry: Registry, format: str) -> Registered[FrontendSpec]:
    """The usable reader of this artifact format with the highest priority.

    Raises:
        ArtifactError: no plugin reads it, or what the one that does requires is missing.
    """
    readers = [r for r in registry.frontends if format in r.record.formats]
    usable = sorted((r for r in readers if r.usable), key=lambda r: -r.record.priority)
    if usable:
        return usable[0]
    if readers:
        reader = readers[0]
        reason = f"plugin {reader.plugin!r} reads {format} files, but {reader.reason}"
        raise ArtifactError(reason, remedy=reader.remedy)
    reason = f"no plugin reads {format!r} files; {_known_formats(registry.frontends)}"
    from deepseek_core.discovery.offers import FORMATS, how_to_get  # start-up: only errors need it

    found = how_to_get(format, FORMATS, registry.plugins)
    if found is None:
        raise ArtifactError(reason, remedy="convert it to a format that is known")
    raise ArtifactError("; ".join(filter(None, (reason, found[0]))), remedy=found[1])


def find_executor(registry: Registry, name: str) -> Registered[ExecutorSpec]:
    """The usable executor of this name.

    Raises:
        ConfigError: no plugin offers it, or what the one that does requires is missing.
    """
    if not isinstance(name, str):
        raise ConfigError(
            f"an executor is called by its name; given a {type(name).__name__}",
            remedy='executor="ray"',
        )
    found = next((r for r in registry.executors if r.record.name == name), None)
    if found is not None and found.usable:
        return found
    if found is not None:
        reason = f"executor {name!r} of plugin {found.plugin!r} can't be used: {found.reason}"
        raise ConfigError(reason, remedy=found.remedy)
    known = ", ".join(sorted(r.record.name for r in registry.executors if r.usable)) or "none"
    reason = f"no plugin offers an executor {name!r}; installed: {known}"
    from deepseek_core.discovery.offers import EXECUTORS, how_to_get  # start-up: as above

    offer = how_to_get(name, EXECUTORS, registry.plugins)
    if offer is None:
        raise ConfigError(reason, remedy="ds-sdk list-plugins --kind executor")
    raise ConfigError("; ".join(filter(None, (reason, offer[0]))), remedy=offer[1])


def _known_formats(frontends: Iterable[Registered[FrontendSpec]]) -> str:
    known = sorted({name for r in frontends for name in r.record.formats})
    return f"known formats: {', '.join(known)}" if known else "no frontend is installed"


def _note(plugin: str, event: str, text: str) -> None:
    import logging

    logging.getLogger(__name__).warning(
        "plugin %s: its listener raised at %s: %s; later errors of it are not shown",
        plugin, event, text,
    )  # fmt: skip
