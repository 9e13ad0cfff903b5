"""What runs one chunk: ONNX Runtime alone, or a plan of a session."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from deepseek_core import errors

Feeds = Mapping[str, Any]
Run = Callable[[Feeds], Feeds]
"""Arrays by input name in; arrays by output name out."""


def onnx_runtime(model: str | Path | bytes, threads: int = 1) -> Run:
    """Open a file, or the bytes of one, in ONNX Runtime on the CPU.

    Raises:
        ArtifactError: ONNX Runtime can't load it.
    """
    from deepseek_fusion.export.ort import ort

    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    given = model if isinstance(model, bytes) else str(model)
    try:
        session = ort.InferenceSession(given, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own, of several classes
        what = "the model" if isinstance(model, bytes) else str(model)
        raise errors.ArtifactError(f"ONNX Runtime can't load {what}: {error}") from error
    names = [output.name for output in session.get_outputs()]

    def run(feeds: Feeds) -> Feeds:
        return dict(zip(names, session.run(names, dict(feeds)), strict=True))

    return run


def of_plan(plan: Any) -> Run:
    """Run a plan of `Session.plan`, where it placed the stages."""

    def run(feeds: Feeds) -> Feeds:
        outputs: Feeds = plan.run(feeds).outputs
        return outputs

    return run
