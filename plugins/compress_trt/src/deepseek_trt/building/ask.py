"""A parser's opinion of a model, without building anything."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import attrs

from deepseek_trt.backends.backend import Parsed
from deepseek_trt.borders import differing
from deepseek_trt.building.build import identify
from deepseek_trt.building.isolated import Call, Log, run
from deepseek_trt.model.read import model_bytes, read_model
from deepseek_trt.problem import Problem

_LIMIT_S: Final = 300.0


@attrs.frozen(kw_only=True)
class Asked:
    """What a parser says; `problems` also has what it takes and reads otherwise."""

    accepted: bool
    problems: tuple[Problem, ...]
    library: str
    log: str


def ask_parser(model: str | Path | bytes, backend: str) -> Asked:
    """Ask the parser of a flavor.

    Raises:
        ArtifactError: the model can't be read.
        LibraryMissing: there is no such flavor here.
        BuildFailed: it crashed or hung.
    """
    read, library, log = read_model(model), identify(backend), Log()
    call = Call(task="parse", backend=backend, limit_s=_LIMIT_S, model=model_bytes(read))
    parsed: Parsed = run(call, log)
    problems = (*parsed.problems, *differing(read, parsed.borders))
    return Asked(
        accepted=parsed.accepted,
        problems=problems,
        library=f"{library.flavor} {library.version}",
        log=log.text,
    )
