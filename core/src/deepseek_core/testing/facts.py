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
from uuid import uuid4

import attrs

from deepseek_core.contracts.units import as_names
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.isolated import end_group
from deepseek_core.discovery.telemetry import without_telemetry
from deepseek_core.testing import selection
from deepseek_core.testing.leaks import TOKEN
from deepseek_core.testing.watching import Traces, as_traces

CANARY: Final = "canary-7f3a91c5"
"""A made-up secret; whoever shows it shows secrets."""

CANARY_VARIABLE: Final = "CANARY_OF_THE_KIT"
"""The environment variable that holds it."""

_LIMIT_S: Final = 60.0


@attrs.frozen(kw_only=True)
class Facts:
    """What was seen; `why` says what kept the plugin from loading.

    `modules` counts those that are neither its own nor the SDK's. `listing` is what its import and
    its hooks did, `code` what loading the code did that its records name. `told` names the texts
    that showed a secret; `parting` is what was said while the process ended.
    """

    loads: bool = True
    why: str = ""
    output: str = ""
    heavy: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    modules: int = 0
    listing: Traces = attrs.field(factory=Traces, converter=as_traces)
    code: Traces = attrs.field(factory=Traces, converter=as_traces)
    told: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    parting: str = ""
    repeats: bool = True
    records: tuple[str, ...] = attrs.field(default=(), converter=as_names)


@cache
def facts_of(plugin: str) -> Facts:
    """List the plugin in a fresh interpreter and say what was seen there."""
    if selection.facts is None or plugin != selection.chosen:
        return _seen(plugin)
    kept = Path(selection.facts)
    if not kept.exists():
        part = kept.with_suffix(".part")
        part.write_text(json.dumps(attrs.asdict(_seen(plugin))), encoding="utf-8")
        part.rename(kept)
    return Facts(**json.loads(kept.read_text(encoding="utf-8")))


def _seen(plugin: str) -> Facts:
    with tempfile.TemporaryDirectory(prefix="deepseek-facts-") as folder:
        answer = Path(folder) / "answer.json"
        code, output = watched_child("_facts_child", plugin, answer, limit_s=_LIMIT_S)
        if not answer.exists():
            return _ended(code, output.decode("utf-8", "replace"))
        seen: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8"))
    said, parting = (
        part.decode("utf-8", "replace")
        for part in (output[: seen["nbytes_said"]], output[seen.pop("nbytes_said") :])
    )
    if code != 0:
        parting += f"\n{_ending(code)}"
    if CANARY in said + parting:
        seen["told"] = [*seen["told"], "what it prints"]
    return Facts(**seen, output=said, parting=parting.strip())


@cache
def probe_traces(plugin: str, locator: str, limit_s: float) -> Traces | None:
    """What a probe does to a process of its own; None if it gives no answer there."""
    with tempfile.TemporaryDirectory(prefix="deepseek-facts-") as folder:
        answer = Path(folder) / "answer.json"
        watched_child("_probe_child", plugin, answer, locator, limit_s=limit_s)
        if not answer.exists():
            return None
        return as_traces(json.loads(answer.read_text(encoding="utf-8")))


def watched_child(
    module: str, plugin: str, answer: Path, *more: str, limit_s: float
) -> tuple[int | None, bytes]:
    """Exit code, None if the time was up, and output of a module of the kit; none of it is left."""
    # -B: what Python itself writes is not the plugin's.
    command = [sys.executable, "-B", "-P", "-m", f"deepseek_core.testing.{module}"]
    said = answer.with_name("output")
    with said.open("wb") as output:
        child = subprocess.Popen(
            [*command, plugin, str(answer), *more],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={
                **without_telemetry(os.environ),
                CANARY_VARIABLE: CANARY,
                TOKEN: uuid4().hex,
                "PYTHONPATH": os.pathsep.join(import_path()),
            },
            start_new_session=True,
        )
    code: int | None = None
    try:
        code = child.wait(limit_s)
    except subprocess.TimeoutExpired:
        pass
    finally:
        end_group(child)
    return code, said.read_bytes()


def _ended(code: int | None, output: str) -> Facts:
    if code is None:
        return Facts(loads=False, why=f"listing it did not end in {_LIMIT_S:g} s")
    last = output.strip().splitlines()[-1:] or ["it said nothing"]
    return Facts(loads=False, why=f"{_ending(code)}: {last[0][:200]}")


def _ending(code: int | None) -> str:
    return "the process does not end" if code is None else f"the process ended with code {code}"
