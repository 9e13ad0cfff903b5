"""Makes launchers by the name of their executor, whichever plugin they come from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deepseek_core.contracts.errors import ConfigError, PluginError
from deepseek_core.contracts.launcher import Launcher
from deepseek_core.contracts.place import PlaceOptions
from deepseek_core.discovery.current import current_plugins
from deepseek_core.discovery.fingerprint import worker_environment
from deepseek_core.discovery.installing import update_or_disable
from deepseek_core.discovery.registry import blamed, find_executor, load_locator
from deepseek_core.discovery.watch import watched

if TYPE_CHECKING:
    from deepseek_core.discovery.registry import Registry


def open_launcher(
    name: str, *, address: str | None = None, registry: Registry | None = None
) -> Launcher:
    """The launcher of the executor of that name; `address` is put over the plugin's own setting.

    Raises:
        ConfigError: no plugin offers it, it starts no commands, or it has no address.
        PluginError: the plugin is broken.
        DeepSeekError: what the launcher says, when the cluster can't be reached.
    """
    known = current_plugins() if registry is None else registry
    found = find_executor(known, name)
    if found.record.launcher is None:
        able = [r.record.name for r in known.executors if r.usable and r.record.launcher]
        raise ConfigError(
            f"the executor {name!r} starts no commands on other machines",
            remedy=f"--executor {' or '.join(able)}" if able else "begin them by hand: --listen",
        )
    settings = dict(known.settings.get(found.plugin, {}))
    if address is not None:
        if "address" not in settings:
            raise ConfigError(
                f"--address: executor {name} has no address", remedy="leave --address out"
            )
        settings["address"] = address
    options = PlaceOptions(settings=settings, environment=worker_environment(known.resolved))
    with watched(found.plugin, f"making the launcher of executor {name}"):
        make = load_locator(found.record.launcher, plugin=found.plugin, dist=found.dist)
        with blamed(found, f"can't make the launcher of executor {name}"):
            made = make(options)
    if not isinstance(made, Launcher):
        raise PluginError(
            f"plugin {found.plugin!r}: {found.record.launcher} made a {type(made).__name__}, "
            "no Launcher",
            remedy=update_or_disable(found.dist, found.plugin),
        )
    return made
