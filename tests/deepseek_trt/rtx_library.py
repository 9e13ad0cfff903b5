"""The real TensorRT-RTX for tests that ask it, or the reason why they are skipped."""

from __future__ import annotations

from functools import cache

import pytest

from deepseek_trt.backends.find import open_backend
from deepseek_trt.errors import LibraryMissing
from deepseek_trt.options import BuildOptions


@cache
def _opened():
    try:
        return open_backend("tensorrt_rtx")
    except LibraryMissing as missing:
        return missing


def rtx():
    """The backend, in this process: thousands of small questions would take long in children."""
    found = _opened()
    if isinstance(found, LibraryMissing):
        pytest.skip(f"{found}")
    return found


def silent(_severity: str, _text: str) -> None:
    """Take a message and do nothing with it."""


def parses(model) -> bool:
    """Whether the real parser takes a model."""
    return rtx().parse(model.SerializeToString(), silent).accepted


def builds(model, **options) -> bool:
    """Whether the real library builds an engine."""
    from deepseek_core import errors

    given = BuildOptions(**{"targets": "8.6", **options})
    try:
        return bool(rtx().build(model.SerializeToString(), given, silent).content)
    except errors.CompileError:
        return False


def operators_known(names) -> set[str]:
    """Those of the names for which the parser has an importer, whatever their domain."""
    import tensorrt_rtx_bindings as trt

    from deepseek_trt.backends.messages import logger_of

    logger = logger_of(trt)
    network = trt.Builder(logger).create_network(1)
    parser = trt.OnnxParser(network, logger)
    return {name for name in names if parser.supports_operator(name)}
