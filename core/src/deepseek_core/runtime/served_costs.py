"""What served runs took: on its way into the history, so that plans know of it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Final

from deepseek_core.contracts.errors import DeepSeekError
from deepseek_core.contracts.stage import Stage
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.runtime.logs import warn
from deepseek_core.runtime.opened import Opened
from deepseek_core.runtime.problems import Problems
from deepseek_core.schedule.cost import Sample

_NEWEST: Final = 3  # runs of a size, of all between two writes
_EVERY_S: Final = 60.0


class ServedCosts:
    """Keeps the newest runs of each size, and writes them down once a minute and at the end."""

    def __init__(self, problems: Problems, *, now_s: float) -> None:
        self._problems = problems
        self._lock = threading.Lock()
        self._stages: dict[tuple[str, str], tuple[Stage, Opened]] = {}
        self._samples: dict[tuple[str, str, int], deque[Sample]] = {}
        self._due_s = now_s + _EVERY_S

    def note(self, executable: Loaded, samples: list[tuple[int, float]]) -> None:
        """Keep what the calls of a run took."""
        place = executable.stage.name, executable.device_id
        with self._lock:
            self._stages[place] = executable.stage, executable.opened
            for items, seconds in samples:
                kept = self._samples.setdefault((*place, items), deque(maxlen=_NEWEST))
                kept.append(Sample(items, seconds))

    def is_due(self, now_s: float) -> bool:
        """Whether it is time to write; then not again before another minute."""
        if now_s < self._due_s:
            return False
        self._due_s = now_s + _EVERY_S
        return True

    def write(self) -> None:
        """Write down what was kept; a history that takes nothing is told to the log."""
        with self._lock:
            stages, self._stages = self._stages, {}
            samples, self._samples = self._samples, {}
        for place, (stage, opened) in stages.items():
            mine = [s for key, kept in samples.items() if key[:2] == place for s in kept]
            try:
                self._problems.measured(stage, opened, LatencyClass.REALTIME, tuple(mine))
            except DeepSeekError as error:
                warn(__name__, f"served runs were not written down: {error.message}")
                return
