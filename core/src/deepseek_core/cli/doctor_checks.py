"""The checks of `ds-sdk doctor`: facts about this installation, judged."""

from __future__ import annotations

import json
import shlex
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from deepseek_core.cli.doctor_hardware import Check, hardware_checks
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.folders import config_file, make_writable, preferred_cache_dir
from deepseek_core.discovery.scan import (
    GROUP_PREFIX,
    Distribution,
    distributions,
    entry_points,
    scan,
)
from deepseek_core.discovery.switches import Switches, check_settings, check_variables
from deepseek_core.discovery.triage import triage

_OLDEST_PYTHON: Final = (3, 11)


def installation_checks() -> Iterator[Check]:
    """Every check that loads no plugin."""
    installed = tuple(distributions())
    yield _python()
    yield _cache()
    yield config_check()
    yield from _doubles(installed)
    yield from _stale(installed)
    yield from hardware_checks(Path("/"), {dist.key for dist in installed})


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= _OLDEST_PYTHON:
        return Check(name="python", status="ok", message=f"Python {version}")
    remedy = "python3.11 -m venv .venv && . .venv/bin/activate"
    return Check(name="python", status="fail", message=f"Python {version}", remedy=remedy)


def _cache() -> Check:
    folder = preferred_cache_dir()
    problem = make_writable(folder)
    if problem is None:
        return Check(name="cache", status="ok", message=f"{folder} is writable")
    return Check(
        name="cache",
        status="warn",
        message=f"{folder}: {problem}; measurements and probes are forgotten",
        remedy="mkdir -p ~/deepseek-cache && export DEEPSEEK_CACHE_DIR=~/deepseek-cache",
    )


def config_check() -> Check:
    """The configuration file and the environment, down to the plugins' names in them."""
    path = config_file()
    try:
        points = scan()
        switches = Switches.resolve()
        triage(points, switches)
        check_settings(points, switches)
        check_variables()
    except ConfigError as error:
        return Check(name="config", status="fail", message=error.message, remedy=error.remedy)
    found = "is readable" if path.exists() else "does not exist, which is fine"
    return Check(name="config", status="ok", message=f"{path} {found}")


def _doubles(installed: Iterable[Distribution]) -> Iterator[Check]:
    """Two versions of one distribution: imports take the first, pip may mean the other."""
    found: dict[str, list[Distribution]] = {}
    for dist in installed:
        found.setdefault(dist.key, []).append(dist)
    doubles = {key: dists for key, dists in found.items() if len({d.version for d in dists}) > 1}
    for key, dists in doubles.items():
        where = " and ".join(f"{dist.version} in {dist.location}" for dist in dists)
        remedy = " && ".join([*[f"pip uninstall -y {key}"] * len(dists), f"pip install {key}"])
        message = f"two versions of {key}: {where}"
        yield Check(name="versions", status="warn", message=message, remedy=remedy)
    if not doubles:
        yield Check(name="versions", status="ok", message="one version of each distribution")


def _stale(installed: Iterable[Distribution]) -> Iterator[Check]:
    """Editable installs keep their old entry points until they are installed again."""
    stale = [check for dist in installed if (check := _stale_check(dist)) is not None]
    yield from stale
    if not stale:
        message = "entry points of editable installs are current"
        yield Check(name="editable", status="ok", message=message)


def _stale_check(dist: Distribution) -> Check | None:
    folder = _editable_folder(dist)
    if folder is not None and not folder.is_dir():
        return Check(
            name="editable",
            status="fail",
            message=f"{dist.key}: its sources in {folder} are gone",
            remedy=f"pip uninstall -y {dist.key}",
        )
    declared = _declared(folder) if folder is not None else None
    actual = {(point.group, point.name, point.value) for point in entry_points(dist)}
    if declared is None or declared == actual:
        return None
    names = ", ".join(sorted({name for _group, name, _value in declared ^ actual}))
    message = f"{dist.key}: pyproject.toml and the installed metadata differ on {names}"
    return Check(
        name="editable",
        status="fail",
        message=message,
        remedy=f"pip install -e {shlex.quote(str(folder))}",
    )


def _editable_folder(dist: Distribution) -> Path | None:
    """Where an editable install has its sources (PEP 610); None for any other."""
    try:
        origin = json.loads(dist.read("direct_url.json") or "{}")
        editable = origin.get("dir_info", {}).get("editable", False)
        return Path(unquote(urlsplit(origin["url"]).path)) if editable else None
    except (ValueError, KeyError, AttributeError):
        return None


def _declared(folder: Path) -> set[tuple[str, str, str]] | None:
    """Group, name and value of the plugins in pyproject.toml; None if it can't be read."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        groups = project["project"].get("entry-points", {})
        return {
            (group, name, value)
            for group, points in groups.items()
            if group.startswith(GROUP_PREFIX)
            for name, value in points.items()
        }
    except (OSError, ValueError, KeyError, AttributeError):
        return None
