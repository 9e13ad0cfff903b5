"""What every frontend promises, as tests that a plugin inherits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.device import Support
from deepseek_core.contracts.errors import ArtifactError, GraphError, NoDevice
from deepseek_core.contracts.frontend import Frontend, ReadOptions
from deepseek_core.contracts.graph import Graph
from deepseek_core.contracts.stage import Array, Operation
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.discovery.registry import Registered
from deepseek_core.testing.subject import load
from deepseek_core.testing.traces import TraceRules

_ITEMS: Final = 3
_REASON: Final = "this device runs nothing"


class FrontendConformance(TraceRules):
    """Inherit it as `Test...`, set `plugin` and `name`, and return real `artifacts`.

    `cuts` says that it makes stages of its models where devices differ in what they support. With
    a `run`, the batch axes that it claims are tried.
    """

    kind = "frontend"
    cuts: ClassVar[bool] = True

    def artifacts(self, tmp_path: Path) -> tuple[Sequence[Artifact], Sequence[Artifact]]:
        """Good models and bad ones (truncated, foreign), at least one of each."""
        raise NotImplementedError("return ([good, ...], [bad, ...]) from artifacts(self, tmp_path)")

    def prepare(self, spec: Registered[Any], folder: Path) -> None:
        """Make the models."""
        self._models = self._good(folder)

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Read every good model."""
        for artifact in self._models:
            load(spec, spec.record.factory)().read(artifact, _everything)

    def run(self, artifact: Artifact, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs of a good model, computed by whatever knows its format; optional."""
        raise NotImplementedError("compute a model: def run(self, artifact, inputs)")

    @pytest.fixture
    def frontend(self, spec: Registered[Any]) -> Frontend:
        """A new reader."""
        frontend: Frontend = load(spec, spec.record.factory)()
        return frontend

    def _good(self, tmp_path: Path) -> Sequence[Artifact]:
        good, bad = self.artifacts(tmp_path)
        assert good, "artifacts() gives no good one"
        assert bad, "artifacts() gives no bad one"
        return good

    def test_its_formats_are_those_of_the_artifacts(
        self, spec: Registered[Any], tmp_path: Path
    ) -> None:
        """The record names what it reads."""
        for artifact in self._good(tmp_path):
            assert artifact.format in spec.record.formats

    def test_good_models_become_graphs(self, frontend: Frontend, tmp_path: Path) -> None:
        """With a name, inputs and outputs."""
        for artifact in self._good(tmp_path):
            graph = frontend.read(artifact, _everything)
            assert isinstance(graph, Graph)
            assert graph.outputs, "a graph without outputs"

    def test_every_tensor_is_made_before_it_is_read(
        self, frontend: Frontend, tmp_path: Path
    ) -> None:
        """A stage reads inputs of the graph or what earlier stages made."""
        for artifact in self._good(tmp_path):
            graph = frontend.read(artifact, _everything)
            there = {spec.name for spec in graph.inputs}
            for stage in graph.stages:
                assert {spec.name for spec in stage.inputs} <= there, stage.name
                there |= {spec.name for spec in stage.outputs}
            assert set(graph.outputs) <= there

    def test_stages_make_what_they_say(self, frontend: Frontend, tmp_path: Path) -> None:
        """Each has operations, and each of its outputs is an operation's."""
        for artifact in self._good(tmp_path):
            for stage in frontend.read(artifact, _everything).stages:
                made = {spec.name for op in stage.operations for spec in op.outputs}
                assert stage.operations, f"stage {stage.name!r} has no operation"
                assert {spec.name for spec in stage.outputs} <= made, stage.name

    def test_one_device_runs_all_of_a_stage(self, frontend: Frontend, tmp_path: Path) -> None:
        """Each stage is run by one of two devices that share the operations."""
        if not self.cuts:
            pytest.skip("cuts = False")
        for artifact in self._good(tmp_path):
            for stage in frontend.read(artifact, _halves).stages:
                able = [{d for d, s in _halves(op).items() if s} for op in stage.operations]
                assert set.intersection(*able), f"no device runs all of stage {stage.name!r}"

    def test_bad_models_are_refused(self, frontend: Frontend, tmp_path: Path) -> None:
        """The refusal is an `ArtifactError`, whatever a parser raises."""
        for artifact in self.artifacts(tmp_path)[1]:
            with pytest.raises(ArtifactError):
                frontend.read(artifact, _everything)

    def test_a_file_that_is_gone_is_told(
        self, spec: Registered[Any], frontend: Frontend, tmp_path: Path
    ) -> None:
        """The refusal is an `ArtifactError`."""
        gone = Artifact(format=spec.record.formats[0], fingerprint="0" * 64, path=tmp_path / "gone")
        with pytest.raises(ArtifactError):
            frontend.read(gone, _everything)

    def test_without_a_device_it_says_who_refused(self, frontend: Frontend, tmp_path: Path) -> None:
        """`NoDevice` carries the reason of each device."""
        for artifact in self._good(tmp_path):
            with pytest.raises(NoDevice) as caught:
                frontend.read(artifact, _nothing)
            assert _REASON in caught.value.refusals.get("kit:0", ""), "the reason is lost"

    def test_reading_twice_gives_the_same(self, frontend: Frontend, tmp_path: Path) -> None:
        """Measured costs are kept by fingerprint: equal models must have equal ones."""
        for artifact in self._good(tmp_path):
            first, second = (frontend.read(artifact, _everything) for _ in range(2))
            assert [s.fingerprint for s in first.stages] == [s.fingerprint for s in second.stages]

    def test_reading_leaves_the_files_as_they_were(
        self, frontend: Frontend, tmp_path: Path
    ) -> None:
        """Neither the model nor a file beside it is changed, and none is added."""
        models = self._good(tmp_path)
        before = _contents(tmp_path)
        for artifact in models:
            frontend.read(artifact, _everything)
        assert _contents(tmp_path) == before

    def test_an_output_is_chosen_or_refused(self, frontend: Frontend, tmp_path: Path) -> None:
        """One output can be chosen; one that no stage makes is refused by `GraphError`."""
        for artifact in self._good(tmp_path):
            last = frontend.read(artifact, _everything).outputs[-1]
            wanted = ReadOptions(supporters=_everything, outputs=(last,))
            assert tuple(frontend.read_model(artifact, wanted).outputs) == (last,)
            nobody = ReadOptions(supporters=_everything, outputs=("of nobody",))
            with pytest.raises(GraphError):
                frontend.read_model(artifact, nobody)

    def test_batch_axes_fit_together(self, frontend: Frontend, tmp_path: Path) -> None:
        """Tensors that are said to be batched have one size of batch, a symbol or a number."""
        for artifact in self._good(tmp_path):
            stages = frontend.read(artifact, _everything).stages
            specs = [spec for stage in stages for spec in (*stage.inputs, *stage.outputs)]
            sizes = {size: spec.name for spec in specs for size in _batch_size(spec)}
            assert len(sizes) <= 1, f"batches of {' and of '.join(map(str, sizes))}: {sizes}"

    def test_a_claimed_batch_axis_holds(self, frontend: Frontend, tmp_path: Path) -> None:
        """Each item of a batch gives what it gives alone, as `run` computes the model."""
        if type(self).run is FrontendConformance.run:
            pytest.skip("run(self, artifact, inputs) is not given")
        for artifact in self._good(tmp_path):
            graph = frontend.read(artifact, _everything)
            made = {spec.name: spec for stage in graph.stages for spec in stage.outputs}
            outputs = [made[name] for name in graph.outputs]
            if not graph.inputs or not all(map(_is_batched, (*graph.inputs, *outputs))):
                continue
            inputs = {spec.name: _drawn(spec) for spec in graph.inputs}
            whole = self.run(artifact, inputs)
            for number in range(_ITEMS):
                item = {s.name: inputs[s.name].take([number], s.batch_axis) for s in graph.inputs}
                for spec in outputs:
                    mine = whole[spec.name].take([number], spec.batch_axis)
                    alone = self.run(artifact, item)[spec.name]
                    np.testing.assert_allclose(
                        mine, alone, rtol=1e-4, atol=1e-5, err_msg=f"output {spec.name!r}"
                    )


def _is_batched(spec: TensorSpec) -> bool:
    return bool(_batch_size(spec))


def _batch_size(spec: TensorSpec) -> tuple[int | str, ...]:
    """The size along the batch axis, where there is one."""
    if spec.batch_axis is None or spec.shape is None:
        return ()
    return (spec.shape[spec.batch_axis],)


def _drawn(spec: TensorSpec) -> Array:
    """Some items; whole numbers from 0 to 4 where the dtype has no fractions."""
    draw, shape = np.random.default_rng(5), spec.sizes(_ITEMS)
    if spec.dtype.startswith(("float", "bfloat")):
        return draw.standard_normal(shape).astype(spec.dtype)
    return draw.integers(0, 5, shape).astype(spec.dtype)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _everything(_operation: Operation) -> dict[str, Support]:
    return {"kit:0": Support.yes()}


def _nothing(_operation: Operation) -> dict[str, Support]:
    return {"kit:0": Support.no(_REASON)}


def _halves(operation: Operation) -> dict[str, Support]:
    """Two devices: each runs the operations that the other does not, by their names."""
    odd = sum(operation.name.encode()) % 2
    sides = {True: Support.yes(), False: Support.no("the other half")}
    return {"kit:0": sides[not odd], "kit:1": sides[bool(odd)]}
