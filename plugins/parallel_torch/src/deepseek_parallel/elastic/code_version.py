"""Which code a worker runs, so that one with other code is refused."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from deepseek_parallel.elastic import wire


@cache
def code_version() -> str:
    """Names of versions, and a hash of this plugin's files and of what runs.

    That is the script, and the files of a recipe that its launcher names.
    """
    hashed = hashlib.sha256(_of_plugin())
    script = Path(sys.argv[0]) if sys.argv and sys.argv[0] else None
    named = [Path(name) for name in json.loads(os.environ.get(wire.FILES, "[]"))]
    for path in ([] if script is None else [script]) + named:
        if path.is_file():
            hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return f"{_versions()}, code {hashed.hexdigest()[:12]}"


def plugin_version() -> str:
    """The same of this plugin alone."""
    return f"{_versions()}, code {hashlib.sha256(_of_plugin()).hexdigest()[:12]}"


def hashes_of(files: Iterable[Path]) -> Mapping[str, str]:
    """A hash of each file, by its name."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest()[:12] for path in files}


@cache
def _of_plugin() -> bytes:
    hashed = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        hashed.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    return hashed.digest()


def _versions() -> str:
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = "none"
    return f"python {platform.python_version()}, torch {torch}"
