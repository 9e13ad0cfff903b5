"""The plugins of an environment as lines for pip, and bringing them back."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import attrs

from deepseek_core.contracts.errors import ConfigError, DeepSeekError, InputError
from deepseek_core.discovery.scan import Distribution, distributions, entry_points

_NAME: Final = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
# The lines that `export` writes; any other would hand options to pip.
_LINE: Final = re.compile(
    rf"(?P<name>{_NAME})==(?P<version>[A-Za-z0-9.+!_-]+)"
    rf"|{_NAME} @ [a-z+]+://\S+"
    r"|-e (?P<folder>\S.*)"
)


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
    found: dict[str, Wanted] = {}
    for dist in distributions():
        names = tuple(point.name for point in entry_points(dist))
        if dist.key not in found and (names or dist.key == "deepseek-core"):
            found[dist.key] = _wanted(dist.described(), names)
    return tuple(found[key] for key in sorted(found))


def _wanted(dist: Distribution, plugins: Sequence[str]) -> Wanted:
    origin = _origin(dist)
    url = str(origin.get("url", ""))
    editable = bool(origin.get("dir_info", {}).get("editable"))
    line = f"{dist.name}=={dist.version}"
    if editable:
        line = f"-e {unquote(urlsplit(url).path)}"
    elif url:
        line = f"{dist.name} @ {_without_password(url)}"
    return Wanted(
        name=dist.name, version=dist.version, line=line, plugins=tuple(plugins), editable=editable
    )


def _origin(dist: Distribution) -> dict[str, Any]:
    """Where pip took it from (PEP 610); empty for an index."""
    try:
        origin = json.loads(dist.read("direct_url.json") or "{}")
    except ValueError:
        return {}
    return origin if isinstance(origin, dict) else {}


def _without_password(url: str) -> str:
    return re.sub(r"(?<=://)[^/@\s]*@", "", url)


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
    """Those of the lines whose distribution is not here in that version, or from that folder."""
    here = {wanted.line for wanted in installed_plugins()}
    versions = {(dist.key, dist.described().version) for dist in distributions()}
    return tuple(line for line in lines if line not in here and not _is_pinned(line, versions))


def _is_pinned(line: str, versions: set[tuple[str, str]]) -> bool:
    from deepseek_core.discovery.scan import normalize

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
        ConfigError: this interpreter has no pip.
        DeepSeekError: pip failed.
    """
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
