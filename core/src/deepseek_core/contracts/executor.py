"""Executors: other places where a plan can run (a process, a cluster)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Self

import attrs

from deepseek_core.contracts.units import as_names, check_locator, check_name

if TYPE_CHECKING:  # a plugin that offers an executor loads none of them
    from deepseek_core.contracts.stage import Array


@attrs.frozen(kw_only=True)
class ExecutorSpec:
    """Where plans can run; `factory` names a callable `(plan: Plan) -> Executor`.

    `place`, where it brings devices of its own, names a callable `(options: PlaceOptions) ->
    Place`: a session then plans over those and runs its plans on them. `launcher`, where it starts
    commands on its machines, names a callable `(options: PlaceOptions) -> Launcher`, by which
    `ds-sdk train run --executor` brings in their processes. `probe`, where there is one, names a
    function `() -> None` that raises a `DeepSeekError` when this can't be used here.
    """

    name: str = attrs.field(validator=check_name)
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    place: str | None = attrs.field(default=None, validator=check_locator)
    launcher: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


class Executor(ABC):
    """Runs one plan somewhere else, with the same answers."""

    @abstractmethod
    def stream(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[Mapping[str, Array]]:
        """Outputs of the batches, in order, as `Plan.stream` gives them.

        Raises:
            InputError: a batch that does not fit.
            StageFailed: the first failure.
        """

    @abstractmethod
    def close(self) -> None:
        """End what it started; idempotent."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
