"""Comparing the plugins of two processes: a parent and its worker must mean the same ones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence

from deepseek_core.contracts.errors import PluginError
from deepseek_core.discovery.distributions import normalize
from deepseek_core.discovery.installing import update_command
from deepseek_core.discovery.scan import EXPECTED, EntryPoint, identities


def fingerprint(points: Iterable[EntryPoint]) -> str:
    """16 hexadecimal digits of names, distributions, versions and entry points.

    Where they are installed does not count: on another machine that differs.
    """
    from hashlib import sha256  # 1 ms of start-up, and only workers ask

    lines = sorted(f"{p.group} {p.name} {normalize(p.dist)} {p.version} {p.value}" for p in points)
    return sha256("\n".join(lines).encode()).hexdigest()[:16]


def worker_environment(resolved: Sequence[EntryPoint]) -> dict[str, str]:
    """Variables with which a worker loads these plugins, or refuses if it has others."""
    names = ",".join(identities(resolved))
    chosen = {"DEEPSEEK_PLUGINS": names} if names else {"DEEPSEEK_NO_PLUGINS": "1"}
    return {**chosen, EXPECTED: fingerprint(resolved)}


def refuse_other_plugins(
    resolved: Sequence[str], expected: str, installed: Iterable[EntryPoint]
) -> None:
    """Compare the plugins named (`dist:name`) as they are installed here with the parent's.

    Raises:
        PluginError: one is missing here, or is another version or another module.
    """
    here = [point for point in installed if identities([point])[0] in set(resolved)]
    missing = sorted(set(resolved) - set(identities(here)))
    if missing:
        raise PluginError(
            f"the parent process has plugins that are not here: {', '.join(missing)}",
            remedy=_remedy(missing),
        )
    if fingerprint(here) != expected:
        versions = ", ".join(f"{p.dist} {p.version}" for p in here)
        raise PluginError(
            f"the parent process has other versions of its plugins; here are {versions}",
            remedy=_remedy(resolved),
        )


def check_expected(points: Iterable[EntryPoint], environ: Mapping[str, str] | None = None) -> None:
    """In a worker: compare what is about to be loaded with what its parent told it.

    Raises:
        PluginError: it differs.
    """
    expected = (os.environ if environ is None else environ).get(EXPECTED)
    points = tuple(points)
    if expected and fingerprint(points) != expected:
        names = ", ".join(f"{p.name} of {p.dist} {p.version}" for p in points) or "none"
        raise PluginError(
            f"the plugins here are not those of the parent process; here: {names}",
            remedy="ds-sdk plugins export there, ds-sdk plugins restore FILE here",
        )


def _remedy(resolved: Iterable[str]) -> str:
    dists = sorted({identity.partition(":")[0] for identity in resolved})
    return f"install the same in both: {' and '.join(map(update_command, dists))}, then start again"
