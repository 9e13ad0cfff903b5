"""Hearing what an engine emits, in a test of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from deepseek_core.contracts.events.base import Event
from deepseek_core.discovery.courier import COURIER
from deepseek_core.discovery.listeners import PROCESS

E = TypeVar("E", bound=Event)
_LIMIT_S: Final = 30.0


class Heard:
    """Events that this process has emitted, in their order."""

    def __init__(self) -> None:
        self.listeners, self.absent = ("a test",), set[str]()
        self._heard: list[Event] = []

    def tell(self, plugin: str, event: Event) -> None:
        """Hear one more."""
        self._heard.append(event)

    def all(self) -> list[Event]:
        """Give all that were emitted so far."""
        assert COURIER.drain(_LIMIT_S), f"events waited for more than {_LIMIT_S:g} s"
        return self._heard.copy()

    def of(self, kind: type[E]) -> list[E]:
        """Give those of a type."""
        return [event for event in self.all() if isinstance(event, kind)]


@contextmanager
def listening() -> Iterator[Heard]:
    """Hear what this process emits in the block, in place of plugins; not those of sessions.

    with listening() as heard:
        train()
    (ended,) = heard.of(events.TrainingEnded)
    """
    heard = Heard()
    with PROCESS.heard_by(heard):
        yield heard
        heard.all()
