"""A simulation for tests of caching: it builds nothing, and says so wherever it is seen."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Final

from onnx import TensorProto

from deepseek_trt.backends.backend import Border, Built, Identity, Parsed, Sink
from deepseek_trt.errors import BuildFailed
from deepseek_trt.model.read import read_model
from deepseek_trt.model.scope import shape_of
from deepseek_trt.options import BuildOptions
from deepseek_trt.target import TARGETS

NAME: Final = "fake"
LABEL: Final = b"NO ENGINE: a simulation of the DeepSeek SDK, which no GPU runs\n"
SCRIPT: Final = "DEEPSEEK_TRT_FAKE"
"""Names a JSON file for tests: `calls` (a file that gets a line a build), `wait_s`, `fail`."""


class FakeBackend:
    """Gives a labeled text in the place of an engine."""

    def __init__(self) -> None:
        self.identity = Identity(flavor=NAME, version="0-simulated", targets=TARGETS)

    def parse(self, model: bytes, sink: Sink) -> Parsed:
        """Take each model that ONNX can read."""
        read_model(model)
        sink("warning", "simulated: no parser was asked")
        return Parsed(accepted=True, borders=_borders(model))

    def build(self, model: bytes, options: BuildOptions, sink: Sink) -> Built:
        """Give what is not an engine and says so in its first bytes."""
        sink("warning", "simulated: no engine is built")
        _follow_script()
        described = json.dumps(options.identity(), sort_keys=True).encode()
        digest = hashlib.sha256(model + described).hexdigest().encode()
        return Built(content=LABEL + digest, borders=_borders(model))


def _follow_script() -> None:
    given = os.environ.get(SCRIPT)
    script = json.loads(Path(given).read_text(encoding="utf-8")) if given else {}
    if "calls" in script:
        with Path(script["calls"]).open("a", encoding="utf-8") as file:
            file.write(f"{os.getpid()}\n")
    time.sleep(script.get("wait_s", 0.0))
    if script.get("fail") == "crash":
        os.abort()
    if script.get("fail"):
        raise BuildFailed(str(script["fail"]), device_id=NAME, remedy="this one is simulated")


def _borders(model: bytes) -> tuple[Border, ...]:
    graph = read_model(model).graph
    known = {tensor.name for tensor in graph.initializer}
    found = [(value, True) for value in graph.input if value.name not in known]
    found += [(value, False) for value in graph.output]
    return tuple(
        Border(
            name=value.name,
            dtype=TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            shape=tuple(d if isinstance(d, int) else -1 for d in shape_of(value) or ()),
            is_input=is_input,
        )
        for value, is_input in found
    )
