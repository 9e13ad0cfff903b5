"""The executor of a session: which devices its plans are over, and who runs them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.errors import ConfigError, InputError, PluginError
from deepseek_core.contracts.executor import Executor, ExecutorSpec
from deepseek_core.contracts.place import Place, PlaceOptions
from deepseek_core.contracts.tensor import TensorSpec
from deepseek_core.discovery.fingerprint import worker_environment
from deepseek_core.discovery.installing import update_or_disable
from deepseek_core.discovery.registry import Registered, Registry, blamed, load_locator
from deepseek_core.discovery.watch import watched
from deepseek_core.runtime.interrupts import held_back
from deepseek_core.runtime.plan import Plan
from deepseek_core.runtime.result import Result

Found = Registered[ExecutorSpec]


def open_place(found: Found, registry: Registry, threads: int | None) -> Place | None:
    """The place of an executor, open; None for one that brings no devices.

    Raises:
        DeepSeekError: it can't be reached, or is not a place.
    """
    if found.record.place is None:
        return None
    options = PlaceOptions(
        settings=registry.settings.get(found.plugin, {}),
        given=registry.switches.given,
        environment=worker_environment(registry.resolved),
        threads=threads,
    )
    place = _made(found, found.record.place, options)
    if not isinstance(place, Place):
        raise _no(found, found.record.place, place, "Place")
    return place


def _made(found: Found, locator: str, argument: object) -> object:
    with watched(found.plugin, f"making executor {found.record.name}"):
        with held_back():
            make = load_locator(locator, plugin=found.plugin, dist=found.dist)
        with blamed(found, f"can't make its executor {found.record.name!r}"):
            made: object = make(argument)
            return made


def _no(found: Found, locator: str, made: object, wanted: str) -> PluginError:
    return PluginError(
        f"plugin {found.plugin!r}: {locator} made a {type(made).__name__}, no {wanted}",
        remedy=update_or_disable(found.dist, found.plugin),
    )


_END: Final = object()


class _Given:
    """The batches of the caller as an executor reads them: how many, and what they raised."""

    def __init__(self, batches: Iterable[Mapping[str, Any]]) -> None:
        self._batches = batches
        self.count = 0
        self.error: BaseException | None = None

    def each(self) -> Iterator[Mapping[str, Any]]:
        """One batch after the other."""
        rest = iter(self._batches)
        while True:
            try:
                batch = next(rest)
            except StopIteration:
                return
            except BaseException as error:
                self.error = error
                raise
            self.count += 1
            yield batch


class ExecutedPlan(Plan):
    """A plan that an executor runs; placement, costs and reasons are those of the plan itself."""

    def __init__(self, here: Plan, found: Found) -> None:
        super().__init__(here._planner, here.graph, here.request, runner=here._runner)
        self._here, self._found = here, found
        self._executor: Executor | None = None
        self._making = threading.Lock()

    def run(self, inputs: Mapping[str, Any]) -> Result:
        """Run one batch as `Plan.run`, by the executor."""
        (result,) = self.stream([inputs])
        return result

    def stream(
        self, batches: Iterable[Mapping[str, Any]], *, max_in_flight: int | None = None
    ) -> Iterator[Result]:
        """Run many batches as `Plan.stream`, by the executor; it bounds what is in flight."""
        self._check_stream(batches)
        if max_in_flight is not None:
            raise ConfigError(
                f"the executor {self._found.record.name!r} decides itself how many batches are in "
                "flight",
                remedy="leave max_in_flight out",
            )
        return self._results(batches, self._opened())

    def _opened(self) -> Executor:
        with self._making:
            if self._executor is None:
                self._check_open()
                made = _made(self._found, self._found.record.factory, self._here)
                if not isinstance(made, Executor):
                    raise _no(self._found, self._found.record.factory, made, "Executor")
                self._executor = made
            return self._executor

    def _results(
        self, batches: Iterable[Mapping[str, Any]], executor: Executor
    ) -> Iterator[Result]:
        given = _Given(batches)
        made = self._made_of(executor, given)
        number, start_s = 0, time.perf_counter()
        while (outputs := self._next(made, given)) is not _END:
            if number == given.count:
                raise self._broken(f"read {given.count:,} batches and gave more results")
            yield self._result(outputs, number, time.perf_counter() - start_s)
            number, start_s = number + 1, time.perf_counter()
        if number != given.count:
            raise self._broken(f"read {given.count:,} batches and gave {number:,} results")

    def _made_of(self, executor: Executor, given: _Given) -> Iterator[object]:
        with blamed(self._found, "failed as it ran a plan"):
            return iter(executor.stream(given.each()))

    def _next(self, made: Iterator[object], given: _Given) -> object:
        """What it gives next; only what it raises itself is its fault."""
        try:
            with blamed(self._found, "failed as it ran a plan"):
                return next(made, _END)
        except PluginError:
            if given.error is not None:
                raise given.error from None
            self._check_open()  # closed meanwhile, and that is why
            raise

    def _result(self, outputs: object, sequence: int, seconds: float) -> Result:
        """What it gave as a result, checked; of one that a plan of ours made the number counts."""
        if isinstance(outputs, Result):
            return attrs.evolve(outputs, sequence=sequence)
        if not isinstance(outputs, Mapping):
            raise self._broken(f"gave a {type(outputs).__name__} in place of arrays by name")
        for spec in self.graph.output_specs:
            self._check(spec, outputs)
        made = {name: outputs[name] for name in self.graph.outputs}
        return Result(
            outputs=made,
            ran_on=dict(self.devices),
            seconds=seconds,
            batch=self._items(made),
            sequence=sequence,
        )

    def _check(self, spec: TensorSpec, outputs: Mapping[str, Any]) -> None:
        if spec.name not in outputs:
            raise self._broken(f"left out the output {spec.name!r}")
        value = outputs[spec.name]
        if spec.container:
            return
        if not (hasattr(value, "dtype") and hasattr(value, "shape")):
            raise self._broken(f"gave a {type(value).__name__} for the output {spec}")
        try:
            spec.check(value)
        except InputError as error:
            raise self._broken(f"gave another output: {error.message}") from error

    def _items(self, outputs: Mapping[str, Any]) -> int:
        if not self.graph.is_batched:
            return 1
        first = self.graph.output_specs[0]
        return int(outputs[first.name].shape[first.batch_axis or 0])

    def _broken(self, text: str) -> PluginError:
        return PluginError(
            f"the executor {self._found.record.name!r} broke its contract: it {text}",
            remedy=update_or_disable(self._found.dist, self._found.plugin),
        )

    def close(self) -> None:
        """End the executor, then free the executables; idempotent."""
        with self._making:
            executor, self._executor = self._executor, None
        try:
            if executor is not None:
                with blamed(self._found, "failed as its executor was closed"):
                    executor.close()
        finally:
            super().close()
