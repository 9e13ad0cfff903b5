"""Graphs of the operations that the devices of `plain_devices` run."""

import attrs

from deepseek_core import Artifact, Graph, Operation, Stage, TensorSpec


def spec(tensor):
    return TensorSpec(name=tensor, dtype="float64", shape=("batch", 2), batch_axis=0)


def stage(name, operation, reads, makes, **attributes):
    inputs, outputs = [spec(r) for r in reads], [spec(makes)]
    made = Operation(
        name=operation, domain="test", inputs=inputs, outputs=outputs, attributes=attributes
    )
    return Stage(
        name=name,
        kind="test",
        operations=[made],
        inputs=inputs,
        outputs=outputs,
        artifact=Artifact.from_bytes(f"{name}{operation}".encode(), format="test"),
    )


def chain(seconds=0.0):
    return Graph(
        name="chain",
        stages=[
            stage("double", "Double", ["x"], "y", seconds=seconds),
            stage("square", "Square", ["y"], "z", seconds=seconds),
        ],
        outputs=["z"],
    )


def diamond(seconds=0.0):
    return Graph(
        name="diamond",
        stages=[
            stage("left", "Double", ["x"], "l", seconds=seconds),
            stage("right", "Square", ["x"], "r", seconds=seconds),
            stage("join", "Add", ["l", "r"], "s"),
        ],
        outputs=["s", "l"],
    )


def triple(seconds=0.0):
    """Three stages, one after the other; the first one's output is wanted, too."""
    return Graph(
        name="triple",
        stages=[
            stage("double", "Double", ["x"], "y", seconds=seconds),
            stage("square", "Square", ["y"], "z", seconds=seconds),
            stage("again", "Double", ["z"], "w", seconds=seconds),
        ],
        outputs=["w", "y"],
    )


def fusing(graph):
    """The graph with a frontend that can join its stages."""

    def fuse(names, wanted):
        parts = [graph.stage(name) for name in names]
        operations = [o for part in parts for o in part.operations]
        made = {o.outputs[0].name for o in operations}
        taken = dict.fromkeys(s.name for o in operations for s in o.inputs if s.name not in made)
        return Stage(
            name=" + ".join(names),
            kind="test",
            operations=operations,
            inputs=[spec(name) for name in taken],
            outputs=[spec(name) for name in wanted],
            artifact=Artifact.from_bytes(f"{names}{wanted}".encode(), format="test"),
        )

    return attrs.evolve(graph, fuse=fuse)
