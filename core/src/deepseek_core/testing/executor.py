"""What every executor promises, as tests that a plugin inherits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from deepseek_core.contracts.errors import InputError, StageFailed
from deepseek_core.contracts.executor import Executor
from deepseek_core.contracts.stage import Array
from deepseek_core.discovery.registry import Registered
from deepseek_core.runtime.plan import Plan
from deepseek_core.testing.leaks import check_releases
from deepseek_core.testing.plain_plan import POISON, make_plan
from deepseek_core.testing.subject import load
from deepseek_core.testing.traces import TraceRules

_MANY: Final = 1000
_MOST_AHEAD: Final = 200
_LONG: Final = 250


class ExecutorConformance(TraceRules):
    """Inherit it as `Test...`, set `plugin` and `name`; the kit makes the plan.

    Its device lives in `deepseek_core.testing.plain_plan`, which other processes can import.
    """

    kind = "executor"

    def use(self, spec: Registered[Any], folder: Path) -> None:
        """Run some batches."""
        with make_plan(folder) as plan, self._open(spec, plan) as executor:
            list(executor.stream(_batches(3)))

    @pytest.fixture
    def plan(self, tmp_path: Path) -> Iterator[Plan]:
        """Two stages in a row and a third beside them, on a device of the kit."""
        with make_plan(tmp_path) as plan:
            yield plan

    @pytest.fixture
    def executor(self, spec: Registered[Any], plan: Plan) -> Iterator[Executor]:
        """The executor of that plan."""
        with self._open(spec, plan) as executor:
            yield executor

    def _open(self, spec: Registered[Any], plan: Plan) -> Executor:
        executor: Executor = load(spec, spec.record.factory)(plan)
        return executor

    def test_outputs_equal_those_of_the_plan(self, executor: Executor, plan: Plan) -> None:
        """Same names, dtypes and values, for batches of several sizes."""
        sizes = (1, 5, 2)
        given = list(executor.stream(_batch(n, size) for n, size in enumerate(sizes)))
        right = list(plan.stream(_batch(n, size) for n, size in enumerate(sizes)))
        assert len(given) == len(right)
        for mine, expected in zip(given, right, strict=True):
            assert sorted(mine) == sorted(expected)
            for name, array in expected.items():
                assert mine[name].dtype == array.dtype
                np.testing.assert_array_equal(mine[name], array)

    def test_results_come_in_order(self, executor: Executor) -> None:
        """Results come in the order of the batches, whichever takes longer."""
        firsts = [float(result["sum"][0, 0]) for result in executor.stream(_batches(20))]
        assert firsts == sorted(firsts)
        assert len(set(firsts)) == 20

    def test_no_batch_is_no_result(self, executor: Executor) -> None:
        """An empty stream ends."""
        assert list(executor.stream([])) == []

    def test_batches_are_read_as_they_are_needed(self, executor: Executor) -> None:
        """A stream may have no end: the first result comes long before the last batch is read."""
        read: list[int] = []

        def counted() -> Iterator[Mapping[str, Array]]:
            for number, batch in enumerate(_batches(_MANY)):
                read.append(number)
                yield batch

        results = executor.stream(counted())
        next(results)
        assert len(read) <= _MOST_AHEAD
        if hasattr(results, "close"):
            results.close()

    def test_a_long_stream_is_whole(self, executor: Executor, plan: Plan) -> None:
        """Hundreds of batches of several sizes: none lost, doubled or mixed with another."""
        given = sorted(result["sum"].tolist() for result in executor.stream(_batches(_LONG)))
        right = sorted(result["sum"].tolist() for result in plan.stream(_batches(_LONG)))
        assert len(given) == len(right)
        assert given == right

    def test_batches_stay_as_they_are(self, executor: Executor) -> None:
        """They are the caller's; so are results, which later ones do not overwrite."""
        batches = list(_batches(6))
        results = [(dict(found), found["sum"].copy()) for found in executor.stream(batches)]
        for batch, expected in zip(batches, _batches(6), strict=True):
            np.testing.assert_array_equal(batch["x"], expected["x"])
        for result, then in results:
            np.testing.assert_array_equal(result["sum"], then)

    def test_a_stream_after_a_failure_is_right(self, executor: Executor, plan: Plan) -> None:
        """One executor serves many streams; neither a failed nor a given-up one spoils the next."""
        with suppress(Exception):  # how it fails is a rule of its own
            list(executor.stream([*_batches(2), {"x": np.full((1, 2), POISON)}, *_batches(2)]))
        started = executor.stream(_batches(20))
        next(started)
        if hasattr(started, "close"):
            started.close()
        given = [result["sum"] for result in executor.stream(_batches(5))]
        right = [result["sum"] for result in plan.stream(_batches(5))]
        assert len(given) == len(right)
        for mine, expected in zip(given, right, strict=True):
            np.testing.assert_array_equal(mine, expected)

    def test_a_failure_is_raised(self, executor: Executor) -> None:
        """A failure is raised as `StageFailed`, which names the stage."""
        poisoned = {"x": np.full((1, 2), POISON)}
        with pytest.raises(StageFailed) as caught:
            list(executor.stream([*_batches(2), poisoned]))
        assert caught.value.stage

    def test_a_batch_that_does_not_fit_is_refused(self, executor: Executor) -> None:
        """The refusal is an `InputError`."""
        with pytest.raises(InputError):
            list(executor.stream([{"x": np.zeros((1, 2), np.int8)}]))

    def test_closing_twice_is_fine(self, executor: Executor) -> None:
        """Before and after a run."""
        list(executor.stream(_batches(1)))
        executor.close()
        executor.close()

    def test_closing_leaves_no_thread_and_no_file(self, spec: Registered[Any], plan: Plan) -> None:
        """What it started has ended."""
        list(plan.stream(_batches(1)))

        def use() -> None:
            with self._open(spec, plan) as executor:
                list(executor.stream(_batches(3)))

        check_releases(use)


def _batch(number: int, size: int) -> dict[str, Array]:
    return {"x": np.full((size, 2), float(number)) + np.arange(2.0)}


def _batches(count: int) -> Iterator[dict[str, Array]]:
    return (_batch(number, 1 + number % 3) for number in range(count))
