"""The kinds of plugin that can be made, and what differs between them."""

from __future__ import annotations

from typing import Final

import attrs

_NUMPY: Final = "numpy>=1.26,<3"
_ONNX: Final = "onnx>=1.17,<2"


@attrs.frozen(kw_only=True)
class Kind:
    """One kind: its templates are in `templates/NAME`.

    `module` is the file that does the work, `conformance` the class that inherits the promises,
    `usage` a command line for the README (a template itself).
    """

    name: str
    module: str
    conformance: str
    summary: str
    usage: str
    needs: tuple[str, ...] = ()


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            name="device",
            module="device",
            conformance="TestNumpyDevice",
            summary="a device that runs a few ONNX operators in plain numpy",
            usage="ds-sdk devices",
            needs=(_NUMPY, _ONNX),
        ),
        Kind(
            name="storage-tier",
            module="tier",
            conformance="TestSqliteTier",
            summary="a storage tier in one SQLite file",
            usage="ds-sdk list-plugins --kind tier",
        ),
        Kind(
            name="strategy",
            module="strategy",
            conformance="TestRowSplit",
            summary="a parallel strategy that splits tensors by rows",
            usage="ds-sdk list-plugins --kind strategy",
        ),
        Kind(
            name="compressor",
            module="compressor",
            conformance="TestShuffledZlib",
            summary="a lossless compressor for arrays",
            usage="ds-sdk list-plugins --kind compressor",
            needs=(_NUMPY,),
        ),
        Kind(
            name="model-compressor",
            module="step",
            conformance="TestHalfWeights",
            summary="a step of compression recipes that keeps weights in half precision",
            usage="ds-sdk list-plugins --kind compressor",
            needs=("attrs>=23.2", _NUMPY, _ONNX),
        ),
        Kind(
            name="frontend",
            module="frontend",
            conformance="TestAffineReader",
            summary="a reader of affine models in NPZ files",
            usage="ds-sdk run model.npz --input batch.npz",
            needs=(_NUMPY, _ONNX),
        ),
        Kind(
            name="command",
            module="command",
            conformance="TestSpare",
            summary="a command that tells what the host has to spare",
            usage="ds-sdk $word --json",
        ),
        Kind(
            name="executor",
            module="executor",
            conformance="TestThreadExecutor",
            summary="an executor that works a batch ahead in a thread",
            usage="ds-sdk list-plugins --kind executor",
            needs=(_NUMPY,),
        ),
        Kind(
            name="application",
            module="application",
            conformance="TestRowClasses",
            summary="an application that learns classes of rows of a CSV file",
            usage="ds-sdk app $name prepare work --data rows.csv",
            needs=("attrs>=23.2", _NUMPY, _ONNX),
        ),
    )
}
