"""The process that runs one probe, so that whatever it does ends here.

`python -m deepseek_core.discovery._probe_child REQUEST`, where REQUEST is a JSON file with
`locator`, `path` (the parent's `sys.path`), `answer` (the file to write) and `limit_s`.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core.contracts.device import DeviceInfo
from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.discovery.status import one_line

LARGEST_ANSWER: Final = 1 << 20
"""Bytes; a thousand devices take a quarter of it."""


def main() -> None:
    """Run the probe and leave at once: drivers crash or hang when they are torn down."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Should the parent die, the kernel still ends a probe that hangs.
    signal.alarm(math.ceil(request["limit_s"]) + 5)
    sys.path[:] = request["path"]
    answer = Path(request["answer"])
    partial = answer.with_suffix(".part")
    partial.write_text(_answer(request["locator"]), encoding="utf-8")
    partial.rename(answer)
    os._exit(0)


def _answer(locator: str) -> str:
    try:
        text = json.dumps({"rows": _rows(locator)}, allow_nan=False)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code may raise anything
        text = json.dumps({"error": _error(error)})
    if len(text) > LARGEST_ANSWER:
        return json.dumps({"too_large": len(text)})
    return text


def _rows(locator: str) -> list[dict[str, object]]:
    module, _, name = locator.partition(":")
    probe: Callable[[], Iterable[Any]] = getattr(import_module(module), name)
    rows = list(probe())
    for row in rows:
        if not isinstance(row, DeviceInfo):
            raise TypeError(f"the probe must return DeviceInfo rows, not {type(row).__name__}")
    return [attrs.asdict(row) for row in rows]


def _error(error: BaseException) -> dict[str, object]:
    if isinstance(error, DeepSeekError):
        return {"text": error.message, "remedy": error.remedy, "expected": True}
    return {
        "text": f"the probe raised {one_line(error)}",
        "remedy": None,
        "module": error.name if isinstance(error, ModuleNotFoundError) else None,
        # What is not installed is no fault of the plugin.
        "expected": isinstance(error, ImportError | OSError),
    }


if __name__ == "__main__":
    main()
