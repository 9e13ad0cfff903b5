"""What every parallel strategy promises, as tests that a plugin inherits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
import pytest

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.mesh import Mesh
from deepseek_core.contracts.strategy import Slices, Strategy
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.contracts.training import Layer, Profile
from deepseek_core.discovery.distributions import import_path
from deepseek_core.discovery.registry import Registered
from deepseek_core.discovery.telemetry import without_telemetry
from deepseek_core.schedule.strategies import contradiction
from deepseek_core.testing.strategy_training import cluster_of, losses_of
from deepseek_core.testing.subject import load
from deepseek_core.testing.traces import TraceRules

_SHAPES: Final[tuple[tuple[int, ...], ...]] = ((8, 8), (16,), (7, 5), (3, 4, 6), (1,), ())
_MOST_RANKS: Final = 9
_MOST_GAP: Final = 1e-5
_PROFILE: Final = Profile(
    layers=[
        Layer(
            name=f"layer{number}", flops=6e6 * (1 + number % 3), parameters=65536,
            output_nbytes=1024.0, kept_nbytes=4096.0, split={f"layer{number}.weight": "column"},
            split_share=1.0, split_parameters=65536, summed_nbytes=2048.0, widths=(64,),
        )
        for number in range(10)
    ],
    batch=64,
)  # fmt: skip
_LIMIT_S: Final = 60.0
_CODE: Final = """
import json, sys
from deepseek_core.discovery.registry import load_locator
from deepseek_core.testing.strategy import _answers
make = load_locator(sys.argv[1], plugin="", dist="")
print(json.dumps([[number, _answers(make(), number)] for number in json.loads(sys.argv[2])]))
"""


class StrategyConformance(TraceRules):
    """Inherit it as `Test...`, set `plugin` and `name`.

    `num_ranks` are numbers to try; at least one must give a mesh. `elastic` is the record's
    by default. For a strategy that plans and applies, `case` is the locator of a function that
    makes a `TrainingCase`, and `trained_ranks` are numbers of processes to train it with.
    """

    kind = "strategy"
    num_ranks: ClassVar[Sequence[int]] = (1, 2, 4, 8)
    elastic: ClassVar[bool | None] = None
    case: ClassVar[str | None] = None
    trained_ranks: ClassVar[Sequence[int]] = (2,)

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Make meshes and split tensors over them."""
        for number in self.num_ranks:
            _answers(self._make(spec), number)

    @pytest.fixture
    def strategy(self, spec: Registered[Any]) -> Strategy:
        """A new one."""
        return self._make(spec)

    def _make(self, spec: Registered[Any]) -> Strategy:
        strategy: Strategy = load(spec, spec.record.factory)()
        return strategy

    def _meshes(self, strategy: Strategy) -> Iterator[tuple[int, Mesh]]:
        for number in self.num_ranks:
            try:
                yield number, strategy.mesh(number)
            except InputError:
                continue

    def test_it_takes_one_of_the_numbers_of_ranks(self, strategy: Strategy) -> None:
        """A strategy takes one of the numbers in `num_ranks`."""
        assert list(self._meshes(strategy)), f"it takes none of {self.num_ranks}"

    def test_the_mesh_holds_every_rank(self, strategy: Strategy) -> None:
        """The product of the axes is the number of ranks."""
        for number, mesh in self._meshes(strategy):
            assert mesh.num_ranks == number

    def test_the_axes_are_those_of_the_record(
        self, spec: Registered[Any], strategy: Strategy
    ) -> None:
        """A mesh names no axis that the record does not promise, and all that it does."""
        for _, mesh in self._meshes(strategy):
            assert sorted(mesh.sizes) == sorted(spec.record.axes)

    def test_every_element_is_held_equally_often(self, strategy: Strategy) -> None:
        """Over all ranks, for tensors of even, odd and no size."""
        for _, mesh in self._meshes(strategy):
            for shape in _SHAPES:
                held = np.zeros(shape, np.int64)
                for part in _parts(strategy, shape, mesh):
                    held[part] += 1
                assert held.min() == held.max() > 0, f"{shape} over {dict(mesh.sizes)}"

    def test_slices_have_plain_bounds(self, strategy: Strategy) -> None:
        """One for each dimension, from a start to a stop within the tensor, in steps of one."""
        for _, mesh in self._meshes(strategy):
            for shape in _SHAPES:
                for part in _parts(strategy, shape, mesh):
                    assert len(part) == len(shape)
                    assert all(map(_is_plain, part, shape)), f"{part} of {shape}"

    def test_equal_questions_get_equal_answers(self, spec: Registered[Any]) -> None:
        """Ranks ask each for themselves, and must agree."""
        for number in self.num_ranks:
            assert _answers(self._make(spec), number) == _answers(self._make(spec), number)

    def test_another_process_answers_alike(self, spec: Registered[Any]) -> None:
        """Ranks are processes, each with an order of sets and a RANK of its own."""
        told = [[number, _answers(self._make(spec), number)] for number in self.num_ranks]
        assert from_another_process(spec.record.factory, self.num_ranks) == json.loads(
            json.dumps(told)
        )

    def test_earlier_questions_change_no_answer(self, strategy: Strategy) -> None:
        """Nor does asking change the mesh or what it was asked about."""
        first = [_answers(strategy, number) for number in self.num_ranks]
        for _ in range(3):
            again = [_answers(strategy, number) for number in reversed(self.num_ranks)]
        assert again[::-1] == first
        for _, mesh in self._meshes(strategy):
            before = dict(mesh.sizes)
            _parts(strategy, _SHAPES[0], mesh)
            assert dict(mesh.sizes) == before, "it changed the mesh"

    def test_a_rank_that_is_not_there_is_refused(self, strategy: Strategy) -> None:
        """The refusal is an `InputError`, not another rank's part."""
        tensor = TensorSpec(name="weight", dtype="float32", shape=(8, 8))
        for number, mesh in self._meshes(strategy):
            for rank in (-1, number):
                with pytest.raises(InputError):
                    strategy.held_by(rank, tensor, mesh)

    def test_a_plan_is_of_what_was_asked(self, spec: Registered[Any], strategy: Strategy) -> None:
        """All ranks, each layer once, the whole batch, in figures that can be."""
        if not _plans(strategy):
            pytest.skip("it makes no plans")
        for number in self.num_ranks:
            cluster = cluster_of(number)
            try:
                plan = strategy.plan(_PROFILE, cluster)
            except InputError as refusal:
                assert refusal.message, f"{number} ranks are refused without a word"
                continue
            wrong = contradiction(plan, _PROFILE, cluster)
            assert wrong is None, f"for {number} ranks it planned {wrong}"
            assert plan.strategy == spec.record.name
            assert set(plan.mesh.sizes) <= set(spec.record.axes)

    def test_many_processes_equal_one(self, spec: Registered[Any], strategy: Strategy) -> None:
        """The loss of each step is that of one process without a strategy, to 1e-5."""
        if not _plans(strategy):
            pytest.skip("it makes no plans")
        if self.case is None:
            raise NotImplementedError("say what is trained: case = 'package.module:function'")
        told = [losses_of(spec.record.factory, self.case, number) for number in self.trained_ranks]
        assert any("ranks" in one for one in told), f"it plans for none of {self.trained_ranks}"
        for number, one in zip(self.trained_ranks, told, strict=True):
            for rank, losses in enumerate(one.get("ranks", ())):
                gap = np.abs(np.subtract(losses, one["plain"])).max()
                assert gap <= _MOST_GAP, f"rank {rank} of {number} is {gap:.3g} off one process"

    def test_an_elastic_strategy_takes_any_number(
        self, spec: Registered[Any], strategy: Strategy
    ) -> None:
        """Ranks may join and leave one by one."""
        if not (spec.record.elastic if self.elastic is None else self.elastic):
            pytest.skip("elastic = False")
        for number in range(1, _MOST_RANKS + 1):
            strategy.mesh(number)

    def test_a_number_that_it_cannot_use_is_refused(self, strategy: Strategy) -> None:
        """The refusal is an `InputError`; zero ranks are always refused."""
        for number in (0, -1):
            with pytest.raises(InputError):
                strategy.mesh(number)
        for number in range(1, _MOST_RANKS + 1):
            try:
                strategy.mesh(number)
            except InputError as refusal:
                assert refusal.message, f"{number} ranks are refused without a word"


def _parts(strategy: Strategy, shape: tuple[int, ...], mesh: Mesh) -> list[Slices]:
    tensor = TensorSpec(name="weight", dtype="float32", shape=shape)
    return [strategy.held_by(rank, tensor, mesh) for rank in range(mesh.num_ranks)]


def _is_plain(part: slice, size: int) -> bool:
    bounds = isinstance(part.start, int) and isinstance(part.stop, int)
    return bounds and part.step in (None, 1) and 0 <= part.start <= part.stop <= size


def from_another_process(factory: str, numbers: Sequence[int]) -> object:
    """The answers of a fresh interpreter, whose sets have another order."""
    run = subprocess.run(
        [sys.executable, "-P", "-c", _CODE, factory, json.dumps(list(numbers))],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        env={
            **without_telemetry(os.environ),
            "PYTHONPATH": os.pathsep.join(import_path()),
            **{"PYTHONHASHSEED": "4242", "RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2"},
        },
        timeout=_LIMIT_S,
        check=False,
    )
    assert run.returncode == 0, f"another process can't ask it: {run.stderr[-400:]}"
    return json.loads(run.stdout.splitlines()[-1])


def _answers(strategy: Strategy, number: int) -> object:
    try:
        mesh = strategy.mesh(number)
    except InputError:
        return None
    parts = [repr(_parts(strategy, shape, mesh)) for shape in _SHAPES]
    return list(mesh.sizes.items()), parts, _planned(strategy, number)


def _planned(strategy: Strategy, number: int) -> str | None:
    try:
        return repr(strategy.plan(_PROFILE, cluster_of(number)))
    except InputError:
        return None


def _plans(strategy: Strategy) -> bool:
    """Whether it has a `plan` of its own."""
    return type(strategy).plan is not Strategy.plan
