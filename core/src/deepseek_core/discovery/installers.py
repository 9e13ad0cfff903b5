"""Which tool installs packages into this environment, and remedies in its words.

Remedies are written for pip. An environment that uv or pipx made may have no pip, and what pip
puts into a tool's environment behind their back is gone after the next upgrade.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from functools import cache
from pathlib import Path
from typing import Final

from deepseek_core.discovery.modules import locate

# Not of `uv pip install`, and up to where a sentence goes on.
_PIP: Final = re.compile(
    r"(?<!\S)(?<!uv )pip (install|uninstall)((?: (?!(?:or|and|then|on|to)\b)[^\s()&;,]+)+)"
)
_OF_PIP_ALONE: Final = {"-e", "--find-links", "--force-reinstall", "--no-deps"}


def in_this_environment(remedy: str) -> str:
    """The remedy with each command of pip as the one that works here."""
    if "pip " not in remedy:
        return remedy
    tool = _tool()
    return remedy if tool == "pip" else _PIP.sub(lambda found: _said(tool, found), remedy)


@cache
def _tool() -> str:
    prefix = Path(sys.prefix)
    if (prefix / "pipx_metadata.json").is_file():
        return "pipx"
    if (prefix / "uv-receipt.toml").is_file():
        return "uv tool"
    return "uv" if locate("pip") is None and _is_of_uv(prefix) else "pip"


def _is_of_uv(prefix: Path) -> bool:
    try:
        lines = (prefix / "pyvenv.cfg").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return False
    return any(line.partition("=")[0].strip() == "uv" for line in lines)


def _said(tool: str, found: re.Match[str]) -> str:
    deed, words = found[1], found[2].split()
    environment = Path(sys.prefix).name
    if tool == "pipx":
        plain = deed == "install" and not any(word.startswith("-") for word in words)
        start = f"pipx inject {environment}" if plain else f"pipx runpip {environment} {deed}"
        return " ".join([start, *words])
    if tool == "uv tool" and deed == "install" and not _OF_PIP_ALONE & {*words}:
        wanted = [word for word in words if not word.startswith("-")]
        extra = [f"--with {word}" for word in (*_present(), *wanted)]
        upgrade = ["--upgrade"] if "-U" in words else []
        return " ".join(["uv tool install", *upgrade, environment, *dict.fromkeys(extra)])
    place = [] if _is_active() else ["--python", shlex.quote(sys.executable)]
    kept = [word for word in words if word != "-y"]  # uv asks nothing
    return " ".join(["uv pip", deed, *place, *kept])


def _is_active() -> bool:
    named = os.environ.get("VIRTUAL_ENV")
    return named is not None and Path(named).resolve() == Path(sys.prefix).resolve()


def _present() -> list[str]:
    """What a tool's environment has beside the tool: who installs it again has to name it."""
    import tomllib

    try:
        receipt = tomllib.loads((Path(sys.prefix) / "uv-receipt.toml").read_text(encoding="utf-8"))
        names = [str(one["name"]) for one in receipt["tool"]["requirements"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in names if name != Path(sys.prefix).name]
