"""What a command on many files tells and counts: things it left out, and things that failed."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final

from deepseek_core import console

_TOLD: Final = 20  # lines of a sort on stderr
_KEPT: Final = 100_000  # of a sort in the answer of --json


def shown(name: str) -> str:
    """A name fit for a terminal: what can't be printed stands as an escape."""
    return console.printable(name)


class Troubles:
    """Tells by name, on stderr, what was skipped or failed, and counts; for any thread.

    A command that failed in part does the rest and ends with `exit_code`.
    """

    def __init__(self) -> None:
        self.skipped: list[dict[str, str]] = []  # for --json: the first of them
        self.failed: list[dict[str, str]] = []
        self.notes: list[dict[str, str]] = []
        self._told: Counter[str] = Counter()  # how many there were of each sort
        self._lock = threading.Lock()
        self._reasons: Counter[str] = Counter()  # why -> how many were skipped

    def skip(self, name: str, why: str, hint: str = "") -> None:
        """Something was left out, as it should be; `hint`: what would take it along."""
        self._note(self.skipped, "skipped", name, why, hint)

    def fail(self, name: str, why: str) -> None:
        """Something was meant, and could not be done."""
        self._note(self.failed, "failed", name, why)

    def note(self, name: str, why: str) -> None:
        """Something was done in another way than its name says."""
        self._note(self.notes, "note", name, why)

    @property
    def exit_code(self) -> int:
        """0, or 1 if anything failed."""
        return 1 if self._told["failed"] else 0

    def sentence(self) -> str:
        """`3 skipped (symbolic link: 2, FIFO: 1), 1 failed`, or nothing."""
        parts = []
        if skipped := self._told["skipped"]:
            kinds = ", ".join(f"{why}: {number:,}" for why, number in self._reasons.most_common())
            parts.append(f"{skipped:,} skipped ({kinds})")
        if failed := self._told["failed"]:
            parts.append(f"{failed:,} failed")
        return ", ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """Each by name; beyond 100,000 the counts alone."""
        return {
            "skipped": self.skipped,
            "failed": self.failed,
            "notes": self.notes,
            "skipped_count": self._told["skipped"],
            "failed_count": self._told["failed"],
        }

    def _note(
        self, kept: list[dict[str, str]], sort: str, name: str, why: str, hint: str = ""
    ) -> None:
        with self._lock:
            self._told[sort] += 1
            if sort == "skipped":
                self._reasons[why] += 1
            number = self._told[sort]
            if number <= _KEPT:
                kept.append({"name": shown(name), "why": why})
        if number <= _TOLD:
            console.print_note(f"{sort}: {shown(name)}: {why}{hint}")
        elif number == _TOLD + 1:
            console.print_note(f"{sort}: more of them (--json lists up to {_KEPT:,})")
