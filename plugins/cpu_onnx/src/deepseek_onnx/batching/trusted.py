"""The SDK's own matching operators, taken whole where their bodies are ours.

Their bodies cut the scores of each query into blocks whose number is computed from the gallery's
size; that these blocks fill the scores is arithmetic that monomials can't express. What the bodies
compute for a query depends on that query alone (see `deepseek_onnx.operators`).
"""

from __future__ import annotations

from functools import cache

from deepseek_onnx.batching.calls import Call
from deepseek_onnx.batching.faults import Mixes
from deepseek_onnx.batching.states import Fixed, Items, Tensor
from deepseek_onnx.domain import DOMAIN
from deepseek_onnx.protos import FunctionProto


def is_ours(function: FunctionProto) -> bool:
    """Whether a body is, byte for byte, one that the SDK makes."""
    if function.domain != DOMAIN or len(function.opset_import) != 1:
        return False
    version = function.opset_import[0].version
    return function.SerializeToString(deterministic=True) in _bodies(function.name, version)


@cache
def _bodies(name: str, version: int) -> frozenset[bytes]:
    from deepseek_onnx.operators import match_hamming_function, match_l2_function

    try:
        functions = {
            "MatchL2": lambda: [match_l2_function(x, opset=version) for x in ("float32", "int8")],
            "MatchHamming": lambda: [match_hamming_function(opset=version)],
        }[name]()
    except (KeyError, ValueError):
        # Another name, or a version that the SDK makes no body for.
        return frozenset()
    return frozenset(f.SerializeToString(deterministic=True) for f in functions)


def match(call: Call) -> tuple[Tensor, ...]:
    """The nearest rows of a gallery for each row of a query [B, D], and how near they are."""
    call.fixed(1, 2)
    query, dims = call.ranked(0)
    if not isinstance(query, Items):
        return Fixed(None), Fixed(None)
    if query.axis != 0 or len(dims) != 2:
        raise Mixes
    made = Items((dims[0], call.unknown()), 0, query.layout)
    return made, made
