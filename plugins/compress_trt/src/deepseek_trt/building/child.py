"""The process in which NVIDIA's library runs: it may crash, hang or print there.

It reads a request and a model from stdin and writes frames to a pipe: messages, then one result.
It ends with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any, BinaryIO, Final

from deepseek_core import DeepSeekError
from deepseek_trt.backends.find import open_backend
from deepseek_trt.building.frames import read_frame, write_frame
from deepseek_trt.building.wire import Answer, packed
from deepseek_trt.options import BuildOptions

_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG of prctl(2)


def main(pipe: int, parent: int) -> None:
    """Answer one request."""
    _end_with(parent)
    with os.fdopen(pipe, "wb") as out:
        request = json.loads(read_frame(sys.stdin.buffer)[1])
        model = read_frame(sys.stdin.buffer)[1]
        try:
            answer: Answer | DeepSeekError = _answer(request, model, out)
        except DeepSeekError as error:
            answer = error
        text, content = packed(answer)
        write_frame(out, b"C", content)
        write_frame(out, b"R", text)


def _answer(request: dict[str, Any], model: bytes, out: BinaryIO) -> Answer:
    def sink(severity: str, text: str) -> None:
        write_frame(out, b"M", json.dumps([severity, text]).encode())

    timings = Path(request["timings"]) if request["timings"] else None
    backend = open_backend(request["backend"], timings)
    if request["task"] == "identify":
        return backend.identity
    if request["task"] == "parse":
        return backend.parse(model, sink)
    options = BuildOptions.from_json(request["options"])
    return backend.identity, backend.build(model, options, sink)


def _end_with(parent: int) -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it ended before the line above
        os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
