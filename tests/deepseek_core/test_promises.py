"""What a stage promises of its outputs is held against what a device gives, and no more."""

import attrs
import numpy as np
import pytest

from deepseek_core import Artifact, Graph, Stage, TensorSpec
from deepseek_core.contracts.batching import Batching
from deepseek_core.runtime.promises import checks_of

MISFITS = (LookupError, AttributeError)


def spec(name, *shape, axis=None, **more):
    return TensorSpec(name=name, dtype="float64", shape=shape, batch_axis=axis, **more)


def stage(inputs, outputs, **promises):
    return Stage(
        name="s", kind="test", operations=[], inputs=inputs, outputs=outputs,
        artifact=Artifact.from_bytes(b"s", format="test"), **promises,
    )  # fmt: skip


def fits(stage, inputs, outputs):
    try:
        return all(check(inputs, outputs) for check in checks_of(stage))
    except MISFITS:
        return False


def zeros(**shapes):
    return {name: np.zeros(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("y", "fine"),
    [((4, 3), True), ((3, 3), False), ((4, 2), False), ((4,), False), ((4, 3, 1), False)],
)
def test_symbols_ranks_and_sizes_are_those_of_the_specs(y, fine):
    made = stage([spec("x", "N", 2)], [spec("y", "N", 3)])
    assert fits(made, zeros(x=(4, 2)), zeros(y=y)) is fine


def test_two_outputs_agree_on_a_symbol_of_their_own():
    made = stage([spec("x", 2)], [spec("y", "found"), spec("z", "found", 2)])
    assert fits(made, zeros(x=(2,)), zeros(y=(5,), z=(5, 2)))
    assert not fits(made, zeros(x=(2,)), zeros(y=(5,), z=(4, 2)))


def test_a_symbol_that_the_caller_uses_for_two_sizes_says_nothing():
    made = stage([spec("x", "N"), spec("y", "N")], [spec("z", "N")])
    assert fits(made, zeros(x=(4,), y=(1,)), zeros(z=(7,)))


def test_where_a_file_may_be_wrong_of_itself_shapes_are_not_looked_at():
    made = stage([spec("x", "N", 2)], [spec("y", "N", 3)], shapes_hold=False)
    assert checks_of(made) == ()
    assert fits(made, zeros(x=(4, 2)), zeros(y=(9,)))


@pytest.mark.parametrize("source", ["proven", "declared"])
def test_what_is_proven_is_a_promise_and_what_is_declared_is_not(source):
    plain = stage([spec("x", 2, "N")], [spec("y", "N")], shapes_hold=False)
    made = plain.with_batching(Batching(source=source, symbol="N", axes={"x": 1, "y": 0}))
    assert fits(made, zeros(x=(2, 4)), zeros(y=(4,)))
    assert fits(made, zeros(x=(2, 4)), zeros(y=(3,))) is (source == "declared")
    assert fits(made, zeros(x=(2, 4)), zeros(y=())) is (source == "declared")


def test_what_is_one_call_makes_what_it_makes():
    batched = {"shapes_hold": False}
    inputs = [spec("x", "N", "T", axis=0), spec("m", "T"), spec("d", 1, optional=True)]
    # A given default, and a symbol of two sizes: as for `Graph.items`.
    made = stage([inputs[0], inputs[2]], [spec("y", "N", axis=0)], **batched)
    assert not fits(made, zeros(x=(4, 2)), zeros(y=(3,)))
    assert fits(made, zeros(x=(4, 2), d=(1,)), zeros(y=(3,)))
    other = spec("m", "N", "T", axis=0)
    made = stage([inputs[0], other], [spec("y", "N", axis=0)], **batched)
    assert not fits(made, zeros(x=(4, 2), m=(4, 2)), zeros(y=(3,)))
    assert fits(made, zeros(x=(4, 2), m=(4, 5)), zeros(y=(3,)))
    assert fits(made, zeros(x=(4, 2), m=(1, 2)), zeros(y=(3,)))


def test_items_without_elements_are_one_call():
    made = stage(
        [spec("x", "N", 4, "S", axis=0)], [spec("y", "N", "S", 4, axis=0)], shapes_hold=False
    )
    assert fits(made, zeros(x=(2, 4, 0)), zeros(y=(0, 4, 4)))
    graph = Graph(name="g", stages=[made], outputs=["y"])
    assert graph.items(zeros(x=(2, 4, 0))) is None
    assert graph.items(zeros(x=(2, 4, 1))) == 2
    assert graph.items(zeros(x=(0, 4, 1))) == 0


def test_lists_are_counted_and_what_is_no_array_is_not():
    made = stage([spec("x", "N", axis=0)], [spec("y", "N", axis=0)], shapes_hold=False)
    assert fits(made, {"x": [1.0, 2.0]}, zeros(y=(2,)))
    assert not fits(made, {"x": [1.0, 2.0]}, zeros(y=(3,)))
    assert fits(made, {"x": object()}, zeros(y=(3,)))


def test_containers_and_unknown_ranks_have_no_shape_to_keep():
    bag = attrs.evolve(spec("bag"), dtype="any", shape=None, container="sequence")
    free = TensorSpec(name="free", dtype="float64", shape=None)
    made = stage([spec("x", "N")], [bag, free])
    assert fits(made, zeros(x=(4,)), {"bag": [1, 2], "free": np.zeros((1, 2, 3))})
