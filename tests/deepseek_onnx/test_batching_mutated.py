"""A file that is wrong in any way gets a verdict, never an error, and always the same one."""

from __future__ import annotations

import random

import onnx
from batch_cases import PROVEN
from batch_mixing import MIXING
from batch_text import case
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import AttributeProto

from deepseek_onnx.batching import follow, prove

LINES = (*PROVEN, *MIXING)


def mutate(model: onnx.ModelProto, rng: random.Random) -> None:
    """Change something that a rule may rely on."""
    node = rng.choice(model.graph.node)
    kind = rng.randrange(7)
    if kind == 0 and node.input:
        del node.input[rng.randrange(len(node.input)) :]
    elif kind == 1 and node.input:
        names = [name for other in model.graph.node for name in (*other.input, *other.output)]
        node.input[rng.randrange(len(node.input))] = rng.choice([*names, ""])
    elif kind == 2 and node.attribute:
        _change(rng.choice(node.attribute), rng)
    elif kind == 3 and node.attribute:
        del node.attribute[rng.randrange(len(node.attribute))]
    elif kind == 4:
        node.op_type = rng.choice(
            [other.op_type for other in case(rng.choice(LINES)).model.graph.node]
        )
    elif kind == 5:
        dims = rng.choice(model.graph.input).type.tensor_type.shape.dim
        if dims:
            dims[rng.randrange(len(dims))].dim_value = rng.choice((-1, 0, 1, 2, 2**62))
    else:
        model.opset_import[0].version = rng.choice((1, 6, 10, 12, 13, 18, 21))


def _change(attribute: AttributeProto, rng: random.Random) -> None:
    attribute.i = rng.choice((-9, -1, 0, 1, 7, 2**62))
    attribute.ints[:] = [rng.choice((-9, -1, 0, 1, 7, 2**62)) for _ in range(rng.randrange(5))]
    if attribute.HasField("t"):
        attribute.t.dims[:] = [rng.choice((0, 1, 2, 2**40)) for _ in range(rng.randrange(3))]


@settings(max_examples=1000)
@given(st.sampled_from(LINES), st.integers(0, 2**32))
def test_a_verdict_is_given_on_whatever_a_file_holds(line, seed):
    found = case(line)
    rng = random.Random(seed)
    for _ in range(rng.randrange(1, 4)):
        mutate(found.model, rng)
    verdict = prove(found.model, fixed=found.fixed)
    assert verdict == prove(found.model, fixed=found.fixed)
    follow(found.model, {value.name: 0 for value in found.model.graph.input}, symbol="N")
