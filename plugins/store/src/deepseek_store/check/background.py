"""Moves data between tiers by itself, in a thread of its own, a little at a time."""

from __future__ import annotations

import logging
import threading
from typing import Final

import attrs

from deepseek_core import DeepSeekError
from deepseek_store.check.plan_moves import apply_plan, make_plan, terms
from deepseek_store.check.repair import repair
from deepseek_store.parts import Parts
from deepseek_store.planning import moves as planning

_LOG: Final = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class CareRound:
    """What one round of care did; `error` is what ended it early."""

    moves: int = 0
    freed_nbytes: int = 0
    error: str | None = None


def tick(parts: Parts, *, seconds: float) -> CareRound:
    """One round of care within the I/O that moves may take in `seconds`."""
    try:
        if len(parts.suspects):
            # What only can't be reached may be back in a moment: scrubs give it another place.
            repair(parts, unreachable=False, look=False)
        budget_nbytes = planning.transition_nbytes(parts.config.policy, terms(parts), seconds)
        moves = make_plan(parts, budget_nbytes=budget_nbytes)
        done = apply_plan(parts, moves)
        report = parts.collector.collect(parts.heat)
        parts.save_heat()
        return CareRound(moves=done, freed_nbytes=report.freed_nbytes)
    except DeepSeekError as error:
        return CareRound(error=str(error))


class Background:
    """Calls for a round of care every `tick_s` seconds until it is closed."""

    def __init__(self, parts: Parts, tick_s: float) -> None:
        self._parts, self._tick_s = parts, tick_s
        self._stop = threading.Event()
        self.last: CareRound | None = None
        self._thread = threading.Thread(target=self._work, name="ds-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; a move under way is finished first."""
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._tick_s):
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - the next round may do better
                self.last = CareRound(error=f"{type(error).__name__}: {error}")
                _LOG.exception("a round of care failed")

    def _round(self) -> None:
        self.last = tick(self._parts, seconds=self._tick_s)
        self._parts.ledger.note(self._parts.clock(), attrs.asdict(self.last))
        if self.last.error is not None:
            _LOG.warning("moves wait: %s", self.last.error)
        try:
            self._parts.ledger.save()
        except DeepSeekError as error:
            _LOG.warning("counts were not kept: %s", error)
