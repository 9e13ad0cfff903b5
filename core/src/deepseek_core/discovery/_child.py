"""The process that runs a stranger's code for us, so that whatever it does ends here.

`python -m deepseek_core.discovery._child REQUEST`, where REQUEST is a JSON file with

    task         `probe` or `check`: call the function `locator`; `load`: load plugins
    settings     of `probe` and `check`: the plugin's own, for a function that takes `settings`
    path         the parent's `sys.path`
    answer       the file to write
    limit_s      seconds after which the kernel ends this process
    most_bytes   of the answer
    data_bytes   most memory of its own, 0 for no limit; `memory_gib` is how users gave it
    resolved     the parent's plugins as `dist:name`, with their `fingerprint`
    only         of `load`: `dist:name` of the one plugin that is wanted, in detail
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.discovery.faults import missing_module
from deepseek_core.discovery.fingerprint import refuse_other_plugins
from deepseek_core.discovery.scan import EXPECTED, scan
from deepseek_core.discovery.strangers import is_a, one_line, told

_KINDS: Final = {"probe": ("device", "DeviceInfo"), "check": ("check", "Finding")}


def main() -> None:
    """Do it and leave at once: drivers crash or hang when they are torn down."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _limit(request)
    sys.path[:] = request["path"]
    os.environ.pop(EXPECTED, None)  # what is compared here is in the request
    pid, answer = os.getpid(), Path(request["answer"])
    text = _answer(request)
    if os.getpid() == pid:  # a copy that a driver made of this process has nothing to say
        partial = answer.with_suffix(".part")
        partial.write_text(text, encoding="utf-8")
        partial.rename(answer)
    os._exit(0)


def _limit(request: dict[str, Any]) -> None:
    if hasattr(signal, "alarm"):
        # Should the parent die, the kernel still ends a process that hangs.
        signal.alarm(math.ceil(request["limit_s"]) + 5)
    with suppress(ImportError, OSError, ValueError):  # Windows has no limits, macOS not all
        _limit_memory(request)


def _limit_memory(request: dict[str, Any]) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if request["data_bytes"]:
        # Not the address space: drivers reserve hundreds of GB of it, and use little.
        _soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = request["data_bytes"]
        limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _answer(request: dict[str, Any]) -> str:
    try:
        if request["resolved"]:
            refuse_other_plugins(request["resolved"], request["fingerprint"], scan())
        text = json.dumps(_done(request), allow_nan=False)
    # Ctrl-C does not reach this process: a KeyboardInterrupt is the stranger's, too.
    except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything
        text = json.dumps({"error": _error(error, request)})
    if len(text) > request["most_bytes"]:
        return json.dumps({"too_large": len(text)})
    return text


def _done(request: dict[str, Any]) -> dict[str, object]:
    if request["task"] == "load":
        from deepseek_core.discovery.loading import load

        return load(request["only"])
    return {"rows": _rows(request["task"], request["locator"], request["settings"])}


def _rows(task: str, locator: str, settings: dict[str, object]) -> list[dict[str, object]]:
    contract, name = _KINDS[task]
    record = getattr(import_module(f"deepseek_core.contracts.{contract}"), name)
    module, _, function = locator.partition(":")
    call: Callable[..., Iterable[Any]] = getattr(import_module(module), function)
    wants = "settings" in signature(call).parameters
    rows = list(call(settings=settings) if wants else call())
    for row in rows:
        if not issubclass(type(row), record):  # its `__class__` may lie
            raise TypeError(f"the {task} must return {name} rows, not {type(row).__name__}")
    return [attrs.asdict(row) for row in rows]


def _error(error: BaseException, request: dict[str, Any]) -> dict[str, object]:
    if is_a(error, DeepSeekError):
        text, remedy = told(error)
        return {"text": text, "remedy": remedy, "expected": True}
    if is_a(error, MemoryError) and request["data_bytes"]:
        gib = request["memory_gib"]
        text = f"the {request['task']} wanted more than the {gib:g} GiB of memory that it may have"
        remedy = f"DEEPSEEK_PROBE_MEMORY={2 * gib:g}"
        return {"text": text, "remedy": remedy, "expected": False}
    return {
        "text": f"the {request['task']} raised {one_line(error)}",
        "remedy": None,
        "module": missing_module(error),
        # What is not installed is no fault of the plugin.
        "expected": is_a(error, ImportError) or is_a(error, OSError),
    }


if __name__ == "__main__":
    main()
