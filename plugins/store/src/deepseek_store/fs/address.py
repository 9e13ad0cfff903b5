"""What a URL of the scheme `ds` says, and which store is meant.

`ds://KEY` is an object of the store that the options or the environment name;
`ds:///srv/store!/KEY` names the folder of its store itself, as `jar:` URLs do.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from deepseek_core import errors

SCHEME: Final = "ds"
VARIABLE: Final = "DEEPSEEK_STORE_HOME"
"""The environment variable that names the store where nothing else does."""
_MARK: Final = "!/"


def split(url: str) -> tuple[str | None, str]:
    """The home that a URL names, if it does, and the path inside; a bare path is a path."""
    text = url
    for prefix in (f"{SCHEME}://", f"{SCHEME}::"):
        text = text.removeprefix(prefix)
    if text != url and text.startswith("/"):
        home, found, path = (f"{text}/" if text.endswith("!") else text).partition(_MARK)
        if found:
            return home or "/", path.strip("/")
    return None, text.strip("/")


def join(home: str | None, path: str) -> str:
    """The URL of a path, good in any process of this machine if the home is known."""
    if home is None or _MARK in f"{home}/":
        return f"{SCHEME}://{path}"
    return f"{SCHEME}://{home}{_MARK}{path}"


def find_home(option: str | os.PathLike[str] | None, environ: Mapping[str, str]) -> str:
    """The folder of the store: the option, else the variable.

    Raises:
        ConfigError: neither names one.
    """
    named = os.fspath(option) if option is not None else environ.get(VARIABLE)
    if not named:
        raise errors.ConfigError(
            "ds:// leads to no store",
            remedy=f'pass storage_options={{"home": FOLDER}}, or set {VARIABLE}',
        )
    return os.path.realpath(Path(named).expanduser())
