"""Which costs a decision may rest on: a guess is never preferred to a measurement."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from deepseek_core.schedule.problem import Candidate, Problem, StageOptions


def believed(problem: Problem) -> Problem:
    """The problem with only those candidates that a choice may fall on.

    Where a device was measured, those that were not drop out. Where none was, a device that
    loads the model as it is goes before one that would run it operator by operator: it can't
    lose by a border. Among equals all stay, and their estimates decide.
    """
    return attrs.evolve(
        problem,
        stages=tuple(_narrowed(stage) for stage in problem.stages),
        whole=None if problem.whole is None else _narrowed(problem.whole),
    )


def _narrowed(stage: StageOptions) -> StageOptions:
    able = [c for c in stage.eligible() if c.estimate is not None]
    kept = (
        [c for c in able if c.is_founded]
        or [c for c in able if c.reads_model]
        or able
        or stage.candidates
    )
    return attrs.evolve(stage, candidates=_in_order(stage, kept))


def _in_order(stage: StageOptions, kept: Sequence[Candidate]) -> tuple[Candidate, ...]:
    return tuple(c for c in stage.candidates if c in kept)
