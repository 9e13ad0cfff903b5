"""The hook specs: everything that a plugin can answer, on one page.

Each registration hook takes one `HostContext` and returns records; none opens, compiles
or connects anything. Implement a hook by passing the spec itself, so that a type checker
knows both signatures:

    @hookimpl(hooks.ds_register_devices)
    def devices(ctx: HostContext) -> Iterable[DeviceSpec]:
        return [DeviceSpec(name="npu", kind="npu", factory="acme.npu:open", probe="acme.npu:probe")]
"""

from __future__ import annotations

import inspect
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, TypeVar

import attrs
import pluggy

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.strangers import attribute, one_line, raise_if_ours, text_of

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


if TYPE_CHECKING:
    from deepseek_core.contracts.events.base import Event  # 1 ms of start-up, for an annotation

P = ParamSpec("P")
R = TypeVar("R")

PROJECT = "deepseek_sdk"
_spec = pluggy.HookspecMarker(PROJECT)
_impl = pluggy.HookimplMarker(PROJECT)


def hookimpl(
    spec: Callable[P, R], *, tryfirst: bool = False, trylast: bool = False
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Mark a function as the implementation of a hook spec of this module."""

    def mark(function: Callable[P, R]) -> Callable[P, R]:
        return _impl(function, specname=spec.__name__, tryfirst=tryfirst, trylast=trylast)

    return mark


@attrs.frozen(kw_only=True)
class HostContext:
    """The one argument of every registration hook, so that it can grow.

    `settings` is the plugin's own table of the configuration file. Of a plugin that declares a
    class (`settings = "package.module:Class"`), it holds every field, checked and with defaults:
    `Class(**ctx.settings)`.
    """

    core_version: str
    api: tuple[int, int]
    settings: Mapping[str, object] = attrs.field(factory=dict)


@_spec
def ds_register_devices(ctx: HostContext) -> Iterable[DeviceSpec]:
    """Offer devices that run tasks.

    Example: `return [DeviceSpec(name="npu", kind="npu", factory="acme.npu:open", probe=...)]`
    """
    raise NotImplementedError


@_spec
def ds_register_storage_tiers(ctx: HostContext) -> Iterable[TierSpec]:
    """Offer tiers that keep shards.

    Example: `return [TierSpec(name="tape", temperature="cold", schemes=["tape"], factory=...)]`
    """
    raise NotImplementedError


@_spec
def ds_register_parallel_strategies(ctx: HostContext) -> Iterable[StrategySpec]:
    """Offer ways to split a model over ranks.

    Example: `return [StrategySpec(name="zero", axes=["dp"], factory="acme.zero:Zero")]`
    """
    raise NotImplementedError


@_spec
def ds_register_compressors(ctx: HostContext) -> Iterable[CompressorSpec]:
    """Offer compressors of arrays, steps for models, scores of channels.

    Example: `return [CompressorSpec(name="topk", target="gradient", factory="acme.topk:TopK")]`
    """
    raise NotImplementedError


@_spec
def ds_register_frontends(ctx: HostContext) -> Iterable[FrontendSpec]:
    """Offer readers of model files.

    Example: `return [FrontendSpec(name="tflite", formats=["tflite"], factory="acme.tfl:Reader")]`
    """
    raise NotImplementedError


@_spec
def ds_register_commands(ctx: HostContext) -> Iterable[CommandSpec]:
    """Offer commands of `ds-sdk`.

    Example: `return [CommandSpec(name="flash", main="acme.flash:main", summary="Flash a board")]`
    """
    raise NotImplementedError


@_spec
def ds_register_executors(ctx: HostContext) -> Iterable[ExecutorSpec]:
    """Offer other places where a plan can run.

    Example: `return [ExecutorSpec(name="slurm", factory="acme.slurm:Executor")]`
    """
    raise NotImplementedError


@_spec
def ds_register_checks(ctx: HostContext) -> Iterable[CheckSpec]:
    """Offer rows of `ds-sdk doctor`.

    Example: `return [CheckSpec(name="firmware", run="acme.firmware:check")]`
    """
    raise NotImplementedError


@_spec
def ds_register_applications(ctx: HostContext) -> Iterable[ApplicationSpec]:
    """Offer jobs of `ds-sdk app`, from a user's data to files that answer.

    Example: `return [ApplicationSpec(name="churn", tasks=["churn"], data="CSV", factory=...)]`
    """
    raise NotImplementedError


@_spec
def ds_on_event(event: Event) -> None:
    """Listen to what happens: trainings, damage, moves, lost devices.

    It is told in a thread of its own, events in their order, and nobody waits for it; types are in
    `deepseek_core.events`.

    Example: `if isinstance(event, events.DeviceQuarantined): page_someone(event.device_id)`
    """
    raise NotImplementedError


@attrs.frozen(kw_only=True)
class HookResult(Generic[R]):
    """What one plugin answered: a value, or the error that it raised."""

    plugin: str
    value: R | None = None
    error: BaseException | None = None


class HookRaised(Exception):
    """A hook raised; the error itself is the cause."""


class Hooks:
    """Registered plugins and their answers, one implementation at a time.

    pluggy itself stops at the first error and does not say who answered what. `trace` gets a
    line about each call.
    """

    def __init__(self, trace: Callable[[str], None] | None = None) -> None:
        self._plugins: dict[str, object] = {}
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(sys.modules[__name__])
        self._trace = trace

    def register(self, plugin: object, name: str) -> tuple[str, ...]:
        """Add a plugin and return the names of the hooks that it implements.

        Raises:
            PluginError: it implements no hook, an unknown one, or one with a wrong signature.
        """
        self._refuse_known(plugin, name)
        face = self._face(plugin)
        try:
            self._manager.register(face, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(" ".join(str(error).split())) from error
        self._plugins[name] = plugin
        try:
            return self._checked(face)
        except PluginError:
            self.unregister(name)
            raise

    def unregister(self, name: str) -> None:
        """Forget a plugin; an unknown name is no error."""
        self._plugins.pop(name, None)
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def implemented(self, spec: Callable[P, R]) -> bool:
        """Whether any plugin implements this hook."""
        return bool(self._implementations(spec.__name__))

    def implementers(self, spec: Callable[P, R]) -> tuple[str, ...]:
        """Names of the plugins that implement this hook, in the order in which they are called."""
        return tuple(impl.plugin_name for impl in self._implementations(spec.__name__))

    def call_one(
        self, plugin: str, spec: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs
    ) -> list[HookResult[R]]:
        """Call the implementations of one plugin, none or one; an error is a result like others."""
        given = dict(zip(_parameters(spec), args, strict=False)) | kwargs
        mine = [i for i in self._implementations(spec.__name__) if i.plugin_name == plugin]
        return [self._one(impl, given) for impl in mine]

    def _implementations(self, name: str) -> list[pluggy.HookImpl]:
        found = getattr(self._manager.hook, name).get_hookimpls()
        # By registration, those that asked for it first or last: pluggy's own order is reversed.
        return sorted(found, key=lambda impl: impl.trylast - impl.tryfirst)

    def _one(self, impl: pluggy.HookImpl, given: Mapping[str, object]) -> HookResult[Any]:
        start_s = time.perf_counter()
        try:
            value = impl.function(*(given[name] for name in impl.argnames))
            result = HookResult(plugin=impl.plugin_name, value=value)
        except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything
            raise_if_ours(error)
            result = HookResult(plugin=impl.plugin_name, error=error)
        if self._trace is not None:
            spent_ms = (time.perf_counter() - start_s) * 1e3
            outcome = "answered" if result.error is None else f"raised {one_line(result.error)}"
            name = text_of(attribute(impl.function, "__qualname__") or "?")
            self._trace(f"{impl.plugin_name}: {name} {outcome} in {spent_ms:.2f} ms")
        return result

    def _refuse_known(self, plugin: object, name: str) -> None:
        for first, known in self._plugins.items():
            if known is plugin:
                from deepseek_core.discovery.installing import disable_setting

                raise PluginError(
                    f"what it names is already registered as plugin {first!r}, which works",
                    remedy=f"{disable_setting(name)} (its authors have to take it out)",
                )

    def _face(self, plugin: object) -> ModuleType:
        """A module with the hook implementations of a plugin, and nothing else of it.

        pluggy compares plugins with `==`: one whose `__eq__` raises would keep others out.
        """
        face = ModuleType("plugin")
        for name in dir(plugin):
            if self._manager.parse_hookimpl_opts(plugin, name) is not None:
                setattr(face, name, getattr(plugin, name))
        return face

    def _checked(self, plugin: object) -> tuple[str, ...]:
        callers = self._manager.get_hookcallers(plugin) or []
        if not callers:
            raise PluginError(
                "it implements no hook",
                remedy="mark its functions with @hookimpl(hooks.ds_register_...)",
            )
        for caller in callers:
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin:
                    _check_implementation(impl, caller.name)
                    _warn_if_deprecated(impl, caller)
        return tuple(sorted(caller.name for caller in callers))


def _check_implementation(impl: pluggy.HookImpl, name: str) -> None:
    """Refuse what pluggy would pass over in silence or fail on only when it is called."""
    if name not in HOOK_NAMES:
        from difflib import get_close_matches

        close = get_close_matches(name, HOOK_NAMES, n=1) or ["hooks.ds_register_..."]
        raise PluginError(f"there is no hook {name!r}", remedy=f"did you mean {close[0]}?")
    if impl.wrapper or impl.hookwrapper:
        raise PluginError(f"{name} is a wrapper, which no hook allows", remedy="drop wrapper=True")
    if inspect.iscoroutinefunction(impl.function):
        raise PluginError(f"{name} is a coroutine function", remedy="write it as a plain function")
    for parameter in inspect.signature(impl.function).parameters.values():
        if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD:
            raise PluginError(
                f"{name}: argument {parameter.name!r} is not positional",
                remedy=f"write it as def {impl.function.__name__}({', '.join(impl.argnames)})",
            )
        if parameter.default is not parameter.empty:
            raise PluginError(
                f"{name}: argument {parameter.name!r} has a default, so it would never be passed",
                remedy="drop the default",
            )


def _warn_if_deprecated(impl: pluggy.HookImpl, caller: pluggy.HookCaller) -> None:
    spec = caller.spec.function if caller.spec is not None else None
    if spec is not None and hasattr(spec, "deprecations"):
        from deepseek_core.discovery.deprecation import warn_of_use

        warn_of_use(impl.plugin_name, spec, impl.function, impl.argnames)


def _parameters(function: Callable[..., object]) -> tuple[str, ...]:
    code = function.__code__
    return code.co_varnames[: code.co_argcount]


HOOK_NAMES: Final = tuple(name for name in dir() if name.startswith("ds_"))
