"""The line that a person sees while a training runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deepseek_core import console
from deepseek_parallel.trainer.events import Event

Show = Callable[[int, int | None, str], None]


@contextmanager
def shown(show: Show | None) -> Iterator[Show | None]:
    """What shows the line: `show`, else a bar of the console where a person looks at stderr."""
    if show is not None or not sys.stderr.isatty():
        yield show
        return
    with console.ProgressReporter("train") as reporter:
        yield reporter


class Line:
    """Turns events into (step, steps, text) for a progress line."""

    def __init__(self, show: Show, steps: int) -> None:
        self._show, self._steps = show, steps
        self._evaluation = self._saved = ""  # the last of each, as text
        self._saved_step = 0  # the last step that was saved
        self._wire = self._whole = 0.0  # bytes of gradients, and those of an all-reduce

    def __call__(self, event: Event) -> None:
        """Show it."""
        if event.kind == "step":
            self._show(event.step, self._steps, self._text(event))
        elif event.kind == "evaluation":
            figures = {n: v for n, v in event.figures.items() if n != "stall_s"}
            told = ", ".join(f"{name} {value:.4g}" for name, value in figures.items())
            self._evaluation = f" | evaluated {told}"
        elif event.kind == "checkpoint":
            step = int(event.figures.get("of_step", event.step))
            if step >= self._saved_step:  # not of an older one that ended meanwhile
                self._saved_step, self._saved = step, f" | checkpoint {step} {event.text}"

    def _text(self, event: Event) -> str:
        figures = event.figures
        self._wire += figures["wire_nbytes"]
        self._whole += figures["whole_nbytes"]
        parts = [
            f"step {event.step}/{self._steps}",
            f"loss {figures['loss']:.4g}",
            f"{figures['samples_per_s']:,.0f} samples/s",
        ]
        if figures["ranks"] > 1:
            parts.append(f"{figures['ranks']:.0f} ranks, imbalance {figures['imbalance']:.0%}")
            saved = self._whole - self._wire
            if saved > 0:
                share = saved / self._whole
                parts.append(f"{console.format_bytes(int(saved))} saved ({share:.1%})")
        return " | ".join(parts) + self._evaluation + self._saved
