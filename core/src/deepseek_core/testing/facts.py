"""What listing a plugin does to a process, seen from outside in a fresh one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.units import as_names
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.isolated import end_group
from deepseek_core.discovery.telemetry import without_telemetry

CANARY: Final = "canary-7f3a91c5"
"""A made-up secret; whoever shows it shows secrets."""

CANARY_VARIABLE: Final = "CANARY_OF_THE_KIT"
"""The environment variable that holds it."""

_LIMIT_S: Final = 60.0


@attrs.frozen(kw_only=True)
class Facts:
    """What was seen; `why` says what kept the plugin from loading.

    `modules` counts those that are neither its own nor the SDK's. `left_open` names threads and
    files, `changed` parts of the process, `told` the texts that showed a secret.
    """

    loads: bool = True
    why: str = ""
    output: str = ""
    heavy: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    modules: int = 0
    left_open: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    changed: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    told: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    repeats: bool = True
    records: tuple[str, ...] = attrs.field(default=(), converter=as_names)


@cache
def facts_of(plugin: str) -> Facts:
    """List the plugin in a fresh interpreter and say what was seen there."""
    with tempfile.TemporaryDirectory(prefix="deepseek-facts-") as folder:
        answer, said = Path(folder) / "answer.json", Path(folder) / "output"
        code = _listed(plugin, answer, said)
        if code is None:
            return Facts(loads=False, why=f"listing it did not end in {_LIMIT_S:g} s")
        output = said.read_text(encoding="utf-8", errors="replace")
        if not answer.exists():
            return _ended(code, output)
        seen: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    if CANARY in output:
        seen["told"] = [*seen["told"], "what it prints"]
    return Facts(**seen, output=output)


def _listed(plugin: str, answer: Path, said: Path) -> int | None:
    """The exit code of the process that lists it, None if its time was up; none of it is left."""
    command = [sys.executable, "-P", "-m", "deepseek_core.testing._facts_child"]
    with said.open("wb") as output:
        child = subprocess.Popen(
            [*command, plugin, str(answer)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **without_telemetry(os.environ),
                CANARY_VARIABLE: CANARY,
                "PYTHONPATH": os.pathsep.join(import_path()),
            },
            start_new_session=True,
        )
    try:
        return child.wait(_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None
    finally:
        end_group(child)


def _ended(code: int, output: str) -> Facts:
    last = output.strip().splitlines()[-1:] or ["it said nothing"]
    return Facts(loads=False, why=f"the process ended with code {code}: {last[0][:200]}")
