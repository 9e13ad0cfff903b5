"""What every compressor of models promises, as tests that a plugin inherits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, NoReturn

import attrs
import numpy as np
import pytest

from deepseek_core.contracts.artifact import Artifact
from deepseek_core.contracts.compression.step import (
    ModelCompressor,
    StepContext,
    StepPlan,
    StepResult,
)
from deepseek_core.contracts.errors import InputError, Interrupted
from deepseek_core.discovery.registry import Registered
from deepseek_core.runtime.compressors import open_compressor
from deepseek_core.testing.subject import registry_of
from deepseek_core.testing.traces import TraceRules


@attrs.frozen(kw_only=True)
class Treated:
    """A model that a step was applied to, once; digests of its weights before and after that."""

    plan: StepPlan
    result: StepResult
    workspace: Path
    before: str
    after: str
    made: str
    """Of the weights of the result."""


_TREATED: Final[dict[type, Treated]] = {}
"""Class with rules -> one application, which several of its rules look at."""


class ModelCompressorConformance(TraceRules):
    """Inherit it as `Test...`, set `plugin` and `name`, and give a small model.

    `options` are the step's. `deterministic` is false for one whose results differ although
    seed and threads are equal.
    """

    kind = "compressor"
    options: ClassVar[Mapping[str, Any]] = {}
    deterministic: ClassVar[bool] = True

    def model(self) -> Any:
        """A small model that it can treat, rebuilt by each call and always equal."""
        raise NotImplementedError("give a small model: def model(self)")

    def context(self, workspace: Path) -> StepContext:
        """What the step is told; a class whose step `needs` data gives them here."""
        return StepContext(workspace=workspace)

    def weights(self, model: Any) -> Mapping[str, Any]:
        """The model's weights by name: of what has a `state_dict`, of an artifact its bytes."""
        return weights_of(model)

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Treat the model once."""
        self._applied(self._step(spec), self.model(), folder)

    @pytest.fixture
    def usable(self, spec: Registered[Any]) -> Registered[Any]:
        """The record, of a compressor for models."""
        if spec.record.target != "model":
            pytest.skip(f'target = "{spec.record.target}": this contract is for models')
        return spec

    @pytest.fixture
    def step(self, usable: Registered[Any]) -> ModelCompressor:
        """The step, with the options of this class."""
        return self._step(usable)

    @pytest.fixture
    def treated(self, step: ModelCompressor, tmp_path_factory: pytest.TempPathFactory) -> Treated:
        """The model of this class after the step, which may take long: once for all rules."""
        if type(self) not in _TREATED:
            _TREATED[type(self)] = self._treated(step, tmp_path_factory.mktemp("treated"))
        return _TREATED[type(self)]

    def _treated(self, step: ModelCompressor, workspace: Path) -> Treated:
        model, context = self.model(), self.context(workspace)
        before = self._digest(model)
        plan = step.plan(model, context)
        result = step.apply(model, plan, context)
        return Treated(
            plan=plan,
            result=result,
            workspace=workspace,
            before=before,
            after=self._digest(model),
            made=self._digest(result.model),
        )

    def _step(self, spec: Registered[Any]) -> ModelCompressor:
        opened = open_compressor(spec.record.name, self.options, registry=registry_of(self.plugin))
        assert isinstance(opened.compressor, ModelCompressor)
        return opened.compressor

    def _digest(self, model: Any) -> str:
        whole = hashlib.sha256()
        for name, value in sorted(self.weights(model).items()):
            array = np.ascontiguousarray(value)
            whole.update(f"{name} {array.dtype} {array.shape}".encode())
            whole.update(array.tobytes())
        return whole.hexdigest()

    def _applied(self, step: ModelCompressor, model: Any, folder: Path) -> StepResult:
        context = self.context(folder)
        return step.apply(model, step.plan(model, context), context)

    def test_planning_changes_nothing(self, step: ModelCompressor, tmp_path: Path) -> None:
        """Neither the model nor a file."""
        model = self.model()
        before = self._digest(model)
        step.plan(model, self.context(tmp_path))
        assert self._digest(model) == before
        assert not list(tmp_path.iterdir())

    def test_equal_calls_give_equal_plans(self, step: ModelCompressor, tmp_path: Path) -> None:
        """What is planned depends on the model and the context alone."""
        context = self.context(tmp_path)
        assert step.plan(self.model(), context) == step.plan(self.model(), context)

    def test_a_plan_survives_a_file(self, step: ModelCompressor, tmp_path: Path) -> None:
        """Choices of a plan are JSON values; a run that was killed continues from them."""
        plan = step.plan(self.model(), self.context(tmp_path))
        assert StepPlan.from_json(json.loads(json.dumps(plan.to_json()))) == plan

    def test_the_given_model_stays_as_it_was(self, treated: Treated) -> None:
        """`apply` works on a copy."""
        assert treated.after == treated.before

    def test_it_does_what_it_planned(self, treated: Treated) -> None:
        """Parameters, and operations where both know them."""
        planned, done = treated.plan.after, treated.result.profile
        assert done.parameters == planned.parameters
        if None not in (done.macs, planned.macs):
            assert done.macs == planned.macs

    def test_it_provides_what_its_record_says(
        self, usable: Registered[Any], treated: Treated
    ) -> None:
        """By name; files of it lie in the workspace."""
        assert set(treated.result.provided) == set(usable.record.provides)
        for value in treated.result.provided.values():
            if isinstance(value, Path):
                assert value.is_file()
                assert value.is_relative_to(treated.workspace)

    def test_equal_runs_give_equal_models(
        self, step: ModelCompressor, treated: Treated, tmp_path: Path
    ) -> None:
        """With one seed and one number of threads."""
        if not self.deterministic:
            pytest.skip("deterministic = False")
        other = self._applied(step, self.model(), tmp_path)
        assert self._digest(other.model) == treated.made

    def test_the_structure_can_be_made_again(self, step: ModelCompressor, treated: Treated) -> None:
        """`reshape` gives a model whose weights have the names and shapes that `apply` left."""
        model = self.model()
        if isinstance(model, Artifact):
            pytest.skip("the model is a file: it is kept whole")
        again = self.weights(step.reshape(model, treated.plan))
        made = self.weights(treated.result.model)
        shapes = [{name: np.shape(value) for name, value in w.items()} for w in (again, made)]
        assert shapes[0] == shapes[1]

    def test_what_is_no_model_is_refused(self, step: ModelCompressor, tmp_path: Path) -> None:
        """By `InputError`, before anything is done."""
        with pytest.raises(InputError):
            step.plan(object(), self.context(tmp_path))

    def test_it_can_be_stopped(self, step: ModelCompressor, tmp_path: Path) -> None:
        """What `progress` raises comes through, and the model stays as it was."""
        asked: list[int] = []

        def stop(_done: int, _of: int, _text: str) -> NoReturn:
            asked.append(1)
            raise Interrupted("stopped by the test")

        model = self.model()
        before = self._digest(model)
        context = attrs.evolve(self.context(tmp_path), progress=stop)
        try:
            step.apply(model, step.plan(model, context), context)
        except Interrupted:
            assert asked
        else:
            assert not asked, "it went on although progress raised"
        assert self._digest(model) == before


def weights_of(model: Any) -> Mapping[str, Any]:
    """Weights by name of what has a `state_dict`, of an artifact, or of a mapping of arrays.

    Raises:
        NotImplementedError: none of these; the class that checks gives `weights`.
    """
    if isinstance(model, Artifact):
        return {"content": np.frombuffer(model.read(), np.uint8)}
    if callable(getattr(model, "state_dict", None)):
        return {name: _array(value) for name, value in model.state_dict().items()}
    if isinstance(model, Mapping):
        return model
    raise NotImplementedError(f"give the weights of a {type(model).__name__}: def weights(self, m)")


def _array(value: Any) -> Any:
    """A numpy array of a tensor; of dtypes that numpy lacks, the float32 that equals it."""
    plain = value.detach().cpu() if hasattr(value, "detach") else value
    try:
        return np.asarray(plain)
    except TypeError:
        return np.asarray(plain.float())
