"""What every listener promises, as tests that a plugin inherits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any, Final, get_type_hints

import attrs
import pytest

from deepseek_core.contracts import events
from deepseek_core.discovery.hooks import ds_on_event
from deepseek_core.discovery.listeners import PROCESS
from deepseek_core.discovery.registry import Registry
from deepseek_core.testing.hearing import Heard
from deepseek_core.testing.plugin import PluginConformance
from deepseek_core.testing.process_state import process_state

_MANY: Final = 1000
_LIMIT_S: Final = 5.0
_LONG: Final = "\u00e9 " * 1000
# type of a field -> what engines may put there at the least, and at the most
_VALUES: Final[dict[Any, tuple[Any, Any]]] = {
    str: ("", _LONG),
    int: (0, 2**63),
    float: (0.0, float("nan")),
    bool: (False, True),
}


@attrs.frozen(kw_only=True)
class Later(events.Event):
    """An event of a type that no listener knows yet."""

    figure: float


class ListenerConformance(PluginConformance):
    """Inherit it as `Test...` and set `plugin`: for a plugin that implements `ds_on_event`."""

    kind = "listener"

    def _told(self, registry: Registry, event: events.Event) -> None:
        """Tell it, as an engine's events are told: in a thread that is not the main one."""
        registry.listener_errors.clear()
        thread = threading.Thread(target=registry.tell, args=(self.plugin, event), daemon=True)
        thread.start()
        thread.join(_LIMIT_S)
        assert not thread.is_alive(), f"it is not done with {event} in {_LIMIT_S:g} s"
        assert not registry.listener_errors, f"{event}: {registry.listener_errors[self.plugin]}"

    def test_it_listens(self, registry: Registry) -> None:
        """It implements `ds_on_event`."""
        assert self.plugin in registry.listeners, f"it implements no {ds_on_event.__name__}"

    def test_it_takes_every_event(self, registry: Registry) -> None:
        """One of each type, with the least that its fields hold: no texts, zero, None."""
        for event in samples(0):
            self._told(registry, event)

    def test_it_takes_what_is_extreme(self, registry: Registry) -> None:
        """Long texts, large counts, a loss that is not a number, times that go back."""
        for event in samples(1):
            self._told(registry, event)
        for time_s in (time.time(), 0.0):
            self._told(registry, events.DeviceQuarantined(time_s=time_s, device_id="a", reason=""))

    def test_it_takes_types_that_it_does_not_know(self, registry: Registry) -> None:
        """Later versions have more of them."""
        self._told(registry, Later(figure=1.0))
        self._told(registry, events.Event())

    def test_it_is_quick(self, registry: Registry) -> None:
        """A thousand events take it less than 5 s in all: those of all plugins wait meanwhile."""
        state = events.TrainingState(
            run="a", step=1, loss=0.5, samples_per_s=1.0, imbalance=None,
            bytes_sent=0, bytes_saved=0,
        )  # fmt: skip
        start_s = time.process_time()
        for _ in range(_MANY):
            registry.tell(self.plugin, state)
        assert time.process_time() - start_s < _LIMIT_S

    def test_it_emits_nothing(self, registry: Registry) -> None:
        """It would be told of that, and never come to an end: such events are dropped."""
        heard = Heard()
        with PROCESS.heard_by(heard):
            for event in samples(0):
                self._told(registry, event)
        assert not heard.all(), f"it emitted {heard.all()[0]}"

    def test_it_prints_nothing(self, registry: Registry, capfd: pytest.CaptureFixture[str]) -> None:
        """Not to stdout: that belongs to the command that runs, which may print JSON."""
        for event in samples(0):
            self._told(registry, event)
        assert not capfd.readouterr().out

    def test_it_leaves_the_process_as_it_was(self, registry: Registry) -> None:
        """Working folder, environment, streams, signal handlers and the like."""
        for event in samples(0):  # what it opens at its first event it may keep
            self._told(registry, event)
        before = process_state()
        for event in samples(0):
            self._told(registry, event)
        after = process_state()
        changed = [name for name, value in before.items() if after.get(name) != value]
        assert not changed, f"it changed {', '.join(changed)}"


def samples(end: int) -> Iterator[events.Event]:
    """An event of each type, with the least (0) or the most (1) that each field holds."""
    found = [v for v in (getattr(events, name) for name in dir(events)) if isinstance(v, type)]
    for kind in found:
        if issubclass(kind, events.Event):
            yield kind(**_fields(kind, end))


def _fields(kind: type[Any], end: int) -> dict[str, Any]:
    hints = get_type_hints(kind)
    names = [field.name for field in attrs.fields(kind) if field.name != "time_s"]
    return {name: _value(hints[name], end) for name in names}


def _value(hint: Any, end: int) -> Any:
    if hint in _VALUES:
        return _VALUES[hint][end]
    inside = [part for part in getattr(hint, "__args__", ()) if part not in (type(None), Ellipsis)]
    if hasattr(hint, "__origin__"):  # a tuple of records, or counts by name
        if hint.__origin__ is dict:
            return {} if end == 0 else {_LONG: _value(inside[1], end)}
        return () if end == 0 else (inside[0](**_fields(inside[0], end)),)
    return None if end == 0 else _value(inside[0], end)
