"""Which code a worker runs, so that one with other code is refused."""

from __future__ import annotations

import hashlib
import platform
import sys
from functools import cache
from importlib import metadata
from pathlib import Path


@cache
def code_version(*, with_script: bool = True) -> str:
    """Names of versions, and a hash of this plugin's files and of the script that runs."""
    hashed = hashlib.sha256()
    package = Path(__file__).parent.parent
    for path in sorted(package.rglob("*.py")):
        hashed.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes())
    script = Path(sys.argv[0]) if sys.argv and sys.argv[0] else None
    if with_script and script is not None and script.is_file():
        hashed.update(script.read_bytes())
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = "none"
    return f"python {platform.python_version()}, torch {torch}, code {hashed.hexdigest()[:12]}"
