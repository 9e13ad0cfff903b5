"""A sound reader of a toy format (lines `input operator output`), and the others."""

import time

import attrs

from deepseek_core import Artifact, Frontend, Graph, Operation, Stage, TensorSpec, errors

HEAD = b"toy 1\n"


class Sound(Frontend):
    """One stage for each line; the last output is the graph's."""

    graph = Graph
    batch_axis = 0

    def content(self, artifact):
        return artifact.read()

    def read(self, artifact, supporters):
        lines = self.lines(self.content(artifact))
        self.batch_axis = None if self.mixes(lines) else 0
        operations = [self.operation(*line) for line in lines]
        self.ask(operations, supporters)
        stages = self.stages(operations)
        return self.graph(name="toy", stages=stages, outputs=[stages[-1].outputs[0].name])

    def lines(self, content):
        lines = [line.split() for line in content.removeprefix(HEAD).decode().splitlines()]
        if not content.startswith(HEAD) or any(len(line) != 3 for line in lines):
            raise errors.ArtifactError("not a toy")
        return lines

    def mixes(self, lines):
        """Whether an item sees the others: then there is no batch."""
        return any(name == "Center" for _, name, _ in lines)

    def operation(self, reads, name, makes):
        return Operation(
            name=name, domain="toy", inputs=[self.tensor(reads)], outputs=[self.tensor(makes)]
        )

    def tensor(self, name):
        return TensorSpec(name=name, dtype="float32", shape=("batch",), batch_axis=self.batch_axis)

    def ask(self, operations, supporters):
        for operation in operations:
            answers = supporters(operation)
            if not any(answers.values()):
                raise self.nobody({device: support.reason for device, support in answers.items()})

    def nobody(self, refusals):
        return errors.NoDevice("nobody runs it", refusals=refusals)

    def stages(self, operations):
        return [self.stage([operation]) for operation in operations]

    def stage(self, operations):
        text = " ".join(operation.name for operation in operations)
        return Stage(
            name=operations[0].outputs[0].name,
            kind="toy",
            operations=operations,
            inputs=operations[0].inputs,
            outputs=operations[-1].outputs,
            artifact=Artifact.from_bytes(text.encode(), format="toy"),
        )


class NamesAnotherFormat(Sound):
    """What is wrong stands in its record."""


@attrs.frozen
class Likeness:
    name: str
    stages: list
    outputs: list

    @property
    def inputs(self):
        return self.stages[0].inputs

    def until(self, *names):
        if not {*names} <= {spec.name for stage in self.stages for spec in stage.outputs}:
            raise errors.GraphError(f"no stage makes {names}")
        return attrs.evolve(self, outputs=[*names])


class MakesNoGraph(Sound):
    graph = Likeness


class Shy(Graph):
    inputs = ()


class HidesItsInputs(Sound):
    graph = Shy


class RenamesOutputs(Sound):
    def stage(self, operations):
        stage = super().stage(operations)
        inner = [attrs.evolve(o, outputs=[self.tensor("inner")]) for o in operations]
        return attrs.evolve(stage, operations=inner)


class NeverCuts(Sound):
    def stages(self, operations):
        return [self.stage(operations)]


class TakesAnything(Sound):
    def lines(self, content):
        try:
            return super().lines(content)
        except (errors.ArtifactError, UnicodeDecodeError):
            return [["x", "Double", "y"], ["y", "Halve", "z"]]


class OpensTheFileItself(Sound):
    def content(self, artifact):
        return artifact.path.read_bytes() if artifact.path else artifact.read()


class KeepsReasonsBack(Sound):
    def nobody(self, refusals):
        return errors.NoDevice("nobody runs it", refusals={})


class StampsTheTime(Sound):
    def stage(self, operations):
        artifact = Artifact.from_bytes(str(time.time_ns()).encode(), format="toy")
        return attrs.evolve(super().stage(operations), artifact=artifact)


class LeavesAnIndexBeside(Sound):
    def content(self, artifact):
        if artifact.path and artifact.path.exists():
            artifact.path.with_suffix(".index").write_text("of lines")
        return super().content(artifact)


class GivesWhatItLikes(Sound):
    def read_model(self, artifact, options):
        return self.read(artifact, options.supporters)


class BlamesTheSettings(Sound):
    def read_model(self, artifact, options):
        try:
            return super().read_model(artifact, options)
        except errors.GraphError as error:
            raise errors.ConfigError(error.message) from error


class BatchesTwoWays(Sound):
    def tensor(self, name):
        if self.batch_axis is None or name != "z":
            return super().tensor(name)
        return TensorSpec(name=name, dtype="float32", shape=("others",), batch_axis=0)


class TakesAllForBatches(Sound):
    def mixes(self, lines):
        return False
