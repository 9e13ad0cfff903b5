"""Options that say by which executor a command runs, and where that is."""

from __future__ import annotations

import argparse

from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.loader import discover
from deepseek_core.discovery.registry import find_executor


def add_executor_arguments(parser: argparse.ArgumentParser) -> None:
    """Where it runs: here, or where an executor of a plugin says."""
    parser.add_argument(
        "--executor",
        metavar="NAME",
        help="run it by an executor that a plugin offers, such as ray "
        "(ds-sdk list-plugins --kind executor); default: here",
    )
    parser.add_argument(
        "--address",
        metavar="ADDRESS",
        help="where the executor is, such as 10.0.0.5:6379; default: its own setting",
    )


def with_address(
    args: argparse.Namespace, settings: dict[str, dict[str, object]]
) -> dict[str, dict[str, object]]:
    """Settings with the address that the options give to the executor's own plugin.

    Raises:
        ConfigError: an address without an executor, or for one that has none.
    """
    if args.address is None:
        return settings
    if args.executor is None:
        raise ConfigError("--address is that of an executor", remedy="add --executor ray")
    registry = discover()
    plugin = find_executor(registry, args.executor).plugin
    if "address" not in registry.settings.get(plugin, {}):
        raise ConfigError(
            f"--address: executor {args.executor} has no address", remedy="leave --address out"
        )
    settings.setdefault(plugin, {})["address"] = args.address
    return settings
