"""The checks of `ds-sdk doctor`: facts about this installation, judged."""

from __future__ import annotations

import os
import shlex
import sys
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from deepseek_core.cli.doctor_hardware import Check, hardware_checks
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.distributions import GROUP_PREFIX, Distribution, distributions
from deepseek_core.discovery.folders import config_file, make_private, preferred_cache_dir
from deepseek_core.discovery.installed import choose, is_certain, of_one_name, one_of_each
from deepseek_core.discovery.installing import FOLDERS, install_command
from deepseek_core.discovery.notices import unknown_names, unknown_settings
from deepseek_core.discovery.origin import origin_of
from deepseek_core.discovery.scan import entry_points, scan
from deepseek_core.discovery.strangers import text_of
from deepseek_core.discovery.switches import Switches, check_variables

_OLDEST_PYTHON: Final = (3, 11)


def installation_checks() -> Iterator[Check]:
    """Every check that loads no plugin."""
    found = tuple(distributions())
    installed = [dist.described() for dist in one_of_each(found) if dist.is_whole]
    yield _python()
    yield _cache()
    yield from _config()
    yield from _doubles(found)
    yield from _leftovers(found)
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
    problem = make_private(folder)
    if problem is None:
        return Check(name="cache", status="ok", message=f"{folder} is writable")
    return Check(
        name="cache",
        status="warn",
        message=f"{folder}: {problem}; measurements and probes are forgotten",
        remedy="mkdir -p ~/deepseek-cache && export DEEPSEEK_CACHE_DIR=~/deepseek-cache",
    )


def _config() -> Iterator[Check]:
    """The configuration file and the environment, down to the plugins' names in them."""
    path = config_file()
    try:
        points, switches = scan(), Switches.resolve()
        check_variables()
    except ConfigError as error:
        yield Check(name="config", status="fail", message=error.message, remedy=error.remedy)
        return
    found = "is readable" if path.exists() else "does not exist, which is fine"
    yield Check(name="config", status="ok", message=f"{path} {found}")
    for notice in unknown_names(switches, points) + unknown_settings(switches, points):
        yield Check(name="config", status="warn", message=notice.text, remedy=notice.remedy)


def _doubles(installed: Iterable[Distribution]) -> Iterator[Check]:
    """Two versions of one distribution: imports take one, pip may mean the other."""
    found = [_double(same) for same in of_one_name(d for d in installed if d.is_whole)]
    doubles = [check for check in found if check is not None]
    yield from doubles
    if not doubles:
        yield Check(name="versions", status="ok", message="one version of each distribution")


def _double(same: Sequence[Distribution]) -> Check | None:
    if len({dist.version for dist in same}) < 2:
        return None
    chosen, key = choose(same), same[0].key
    where = " and ".join(f"{dist.version} in {text_of(dist.location)}" for dist in same)
    sure = "imports use" if is_certain(chosen, same) else "taken for what imports use:"
    again = install_command(key) if key in FOLDERS else f"pip install {key}"
    return Check(
        name="versions",
        status="warn",
        message=f"two versions of {key}: {where}; {sure} {chosen.version}",
        remedy=" && ".join([*[f"pip uninstall -y {key}"] * len(same), again]),
    )


def _leftovers(installed: Iterable[Distribution]) -> Iterator[Check]:
    """Metadata that names no distribution: what an interrupted installation leaves behind."""
    for dist in installed:
        if dist.folder is not None and not dist.is_whole:
            is_closed = not os.access(dist.folder, os.R_OK) and dist.folder.exists()
            what = "can't be read by this user" if is_closed else "names no distribution"
            folder = str(dist.folder)
            yield Check(
                name="leftover",
                status="warn",
                message=f"{text_of(folder)} {what}, so it is passed over",
                remedy=f"rm -r {shlex.quote(folder)}" if folder.isprintable() else "remove it",
            )


def _stale(installed: Iterable[Distribution]) -> Iterator[Check]:
    """Editable installs keep their old entry points until they are installed again."""
    stale = [check for dist in installed if (check := _stale_check(dist)) is not None]
    yield from stale
    if not stale:
        message = "entry points of editable installs are current"
        yield Check(name="editable", status="ok", message=message)


def _stale_check(dist: Distribution) -> Check | None:
    origin = origin_of(dist)
    folder = origin.path if origin is not None and origin.editable else None
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
