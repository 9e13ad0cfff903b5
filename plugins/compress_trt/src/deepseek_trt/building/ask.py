"""A parser's opinion of a model, without building anything."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deepseek_trt.backends.backend import Parsed
from deepseek_trt.building.build import identify
from deepseek_trt.building.isolated import Call, Log, run
from deepseek_trt.model.read import model_bytes, read_model

_LIMIT_S: Final = 300.0


def ask_parser(model: str | Path | bytes, backend: str) -> tuple[Parsed, str, str]:
    """What a flavor's parser says, which library that was, and what it logged.

    Raises:
        ArtifactError: the model can't be read.
        LibraryMissing: there is no such flavor here.
        BuildFailed: it crashed or hung.
    """
    content, library, log = model_bytes(read_model(model)), identify(backend), Log()
    parsed: Parsed = run(Call(task="parse", backend=backend, limit_s=_LIMIT_S, model=content), log)
    return parsed, f"{library.flavor} {library.version}", log.text
