"""The plugins of an environment as lines for pip, and bringing them back."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import attrs

from deepseek_core.contracts.errors import ConfigError, DeepSeekError, InputError
from deepseek_core.discovery.distributions import Distribution, distributions, normalize
from deepseek_core.discovery.installed import CORE, one_of_each
from deepseek_core.discovery.installing import FOLDERS, PUBLISHED, install_command
from deepseek_core.discovery.origin import origin_of
from deepseek_core.discovery.owners import is_reserved
from deepseek_core.discovery.scan import entry_points

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
# The lines that `export` writes; any other would hand options to pip.
_LINE: Final = re.compile(
    rf"(?P<name>{_NAME})==(?P<version>[A-Za-z0-9.+!_-]+)"
    rf"|{_NAME} @ [a-z+]+://\S+"
    r"|-e (?P<folder>\S.*)"
)
# With these, pip asks the index or the folder that the user named, not the public one.
_INDEX_CHOSEN: Final = ("PIP_NO_INDEX", "PIP_INDEX_URL", "PIP_CONFIG_FILE")


@attrs.frozen(kw_only=True)
class Wanted:
    """One distribution with plugins, and the line that brings it back."""

    name: str
    version: str
    line: str
    plugins: tuple[str, ...] = ()
    editable: bool = False


def installed_plugins() -> tuple[Wanted, ...]:
    """`deepseek-core` and every distribution that offers plugins, by name; none is imported."""
    found = {}
    for dist in one_of_each(distributions()):
        names = tuple(point.name for point in entry_points(dist))
        if names or dist.key == CORE:
            found[dist.key] = _wanted(dist.described(), names)
    return tuple(found[key] for key in sorted(found))


def _wanted(dist: Distribution, plugins: Sequence[str]) -> Wanted:
    origin = origin_of(dist)
    line = f"{dist.name}=={dist.version}"
    if origin is not None and origin.editable and origin.path is not None:
        line = f"-e {origin.path}"
    elif origin is not None:
        line = origin.pinned(dist.name)
    return Wanted(
        name=dist.name,
        version=dist.version,
        line=line,
        plugins=tuple(plugins),
        editable=line.startswith("-e "),
    )


def read_lines(path: Path) -> tuple[str, ...]:
    """The lines for pip in a file that `plugins export` has written, as text or as JSON.

    Raises:
        InputError: no such file, or a line that `export` does not write.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {error}", remedy="ds-sdk plugins export > FILE") from error
    lines = _json_lines(path, text) if text.lstrip().startswith("{") else text.splitlines()
    wanted = []
    for number, line in enumerate(lines, 1):
        content = re.sub(r"(^|\s)#.*", "", line).strip()
        if content and not _LINE.fullmatch(content):
            raise InputError(
                f"{path}, line {number}: {content!r} is not what ds-sdk plugins export writes",
                remedy="write NAME==VERSION, NAME @ URL or -e FOLDER",
            )
        wanted += [content] if content else []
    return tuple(wanted)


def _json_lines(path: Path, text: str) -> list[str]:
    try:
        return [str(entry["line"]) for entry in json.loads(text)["distributions"]]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: no export of ds-sdk: {error}", remedy="ds-sdk plugins export --json > FILE"
        ) from error


def missing_lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Lines whose distribution is not here in that version, or from that folder."""
    here = {wanted.line for wanted in installed_plugins()}
    here_too = map(Distribution.described, one_of_each(distributions()))
    versions = {(dist.key, dist.version) for dist in here_too}
    return tuple(line for line in lines if line not in here and not _is_pinned(line, versions))


def _is_pinned(line: str, versions: set[tuple[str, str]]) -> bool:
    match = _LINE.fullmatch(line)
    return match is not None and (normalize(match["name"] or ""), match["version"]) in versions


def pip_command(lines: Sequence[str]) -> list[str]:
    """The command that installs the lines into the interpreter that runs this."""
    words = [word for line in lines for word in _words(line)]
    return [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *words]


def _words(line: str) -> list[str]:
    folder = line.removeprefix("-e ")
    return [line] if folder == line else ["-e", folder]


def install(lines: Sequence[str]) -> None:
    """Run pip; what it prints goes to stderr.

    Raises:
        ConfigError: this interpreter has no pip, or pip would take a stranger's for one of ours.
        DeepSeekError: pip failed.
    """
    for line in lines:
        _refuse_unpublished(line)
    command = pip_command(lines)
    with tempfile.TemporaryFile() as nothing:
        probe = [sys.executable, "-m", "pip", "--version"]
        if subprocess.run(probe, stdout=nothing, stderr=nothing, check=False).returncode:
            raise ConfigError(
                f"{sys.executable} has no pip", remedy=f"{sys.executable} -m ensurepip"
            )
    code = subprocess.run(command, stdout=sys.stderr, check=False).returncode
    if code:
        raise DeepSeekError(f"pip ended with code {code}", remedy=shlex.join(command))


def _refuse_unpublished(line: str) -> None:
    """On a public index, whoever comes first has a name of ours that is not published yet."""
    match = _LINE.fullmatch(line)
    dist = normalize((match["name"] if match else None) or "")
    ours = is_reserved(dist) or dist in FOLDERS
    if PUBLISHED or not ours or any(name in os.environ for name in _INDEX_CHOSEN):
        return
    known = install_command(dist) if dist in FOLDERS else None
    raise ConfigError(f"{line}: {dist} is on no public index yet", remedy=known)
