"""Graphs of the operations that the devices of `plain_devices` run."""

from deepseek_core import Artifact, Graph, Operation, Stage, TensorSpec


def stage(name, operation, reads, makes, **attributes):
    def spec(tensor):
        return TensorSpec(name=tensor, dtype="float64", shape=("batch", 2), batch_axis=0)

    return Stage(
        name=name,
        kind="test",
        operations=[Operation(name=operation, domain="test", attributes=attributes)],
        inputs=[spec(r) for r in reads],
        outputs=[spec(makes)],
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
