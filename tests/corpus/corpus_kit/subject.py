"""A case that is opened: its file, ONNX Runtime alone, and the SDK's graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import onnx

from corpus_kit.case import Case, Inputs
from corpus_kit.compare import difference_beyond_rounding, difference_in_kind, first_difference
from corpus_kit.desk import Desk
from corpus_kit.reference import Reference
from deepseek_core import Graph, Session

_TOGETHER: Final = 5


class Wrong(AssertionError):
    """The SDK's answer is not ONNX Runtime's."""


class Subject:
    """What the ways of running share; the graph is read when the first of them asks for it."""

    def __init__(self, case: Case, folder: Path, desk: Desk, session: Session) -> None:
        self.case, self.desk, self.session, self.folder = case, desk, session, folder
        self.path = case.place(folder)
        self.reference = Reference(case, self.path)

    @cached_property
    def graph(self) -> Graph:
        """As the session reads it from what the case hands over."""
        return self.session.load(self._source())

    def _source(self) -> Path | bytes | onnx.ModelProto:
        match self.case.handed_over:
            case "bytes":
                return self.path.read_bytes()
            case "model":
                return onnx.load(self.path)
        return self.path

    def judge(self, inputs: Inputs, found: dict[str, Any], *, together: bool = False) -> None:
        """Hold outputs against ONNX Runtime's for the same inputs.

        `together`: other items may have gone with these, which may change their last bits.

        Raises:
            Wrong: with the first difference.
        """
        self.compare(self.reference.run(inputs), found, together=together)

    def compare(
        self, expected: dict[str, Any], found: dict[str, Any], *, together: bool = False
    ) -> None:
        """Hold outputs against others, as exactly as the case allows."""
        if self.case.random:
            problem = _by_output(difference_in_kind, expected, found)
        else:
            problem = first_difference(expected, found)
        if problem and together and self.case.axes and self.reference.depends_on_items:
            problem = _by_output(difference_beyond_rounding, expected, found)
        if problem:
            raise Wrong(problem)

    # -- what the corpus claims of ONNX Runtime alone ------------------------------------------

    def check_that_it_repeats(self) -> None:
        """A second session says the same, bit for bit, unless the case is random."""
        first = self.reference.run(self.case.inputs(0, 3))
        self.compare(Reference(self.case, self.path).run(self.case.inputs(0, 3)), first)

    def check_that_items_are_apart(self) -> None:
        """Each item alone gives what all give together, but for rounding."""
        if not self.case.axes or self.case.random:
            return
        inputs = self.case.inputs(0, _TOGETHER)
        alone = self.reference.run_in_pieces(inputs, [1] * _TOGETHER)
        problem = _by_output(difference_beyond_rounding, self.reference.run(inputs), alone)
        if problem:
            raise Wrong(problem)


def _by_output(
    differ: Callable[[Any, Any], str | None], expected: dict[str, Any], found: dict[str, Any]
) -> str | None:
    if set(expected) != set(found):
        return first_difference(expected, found)
    problems = {name: differ(value, found[name]) for name, value in expected.items()}
    return next((f"output {name!r}: {text}" for name, text in problems.items() if text), None)
