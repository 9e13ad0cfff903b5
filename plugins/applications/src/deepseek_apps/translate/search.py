"""Beam search over steps that somebody computes, as the devices of a session.

Legend: W beams, V vocabulary.
"""
# ruff: noqa: N803 - shapes by the legend

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs
import numpy as np

from deepseek_apps.translate.special import BEGIN, END
from deepseek_apps.translate.tasks import Row

Step: TypeAlias = Callable[[np.ndarray, Any], tuple[np.ndarray, Any]]
"""Tokens (W, 1) and a state to logits (W, V) and the next state."""
Reorder: TypeAlias = Callable[[Any, np.ndarray], Any]
"""A state with the beams of these numbers."""


@attrs.frozen(kw_only=True, eq=False)
class Beams:
    """Hypotheses that go on, the best first; `scores` are sums of log-probabilities."""

    rows: list[Row]
    scores: np.ndarray


def beam_search(step: Step, reorder: Reorder, state: Any, most: int, beam: int) -> Row:
    """The best hypothesis by mean log-probability of its tokens, its end among them.

    It stops when `beam` hypotheses have ended, or after `most` tokens. A beam of 1 is greedy.
    Source: Wu et al., "Google's Neural Machine Translation System", 2016, with length penalty 1.
    """
    beams = Beams(rows=[[]], scores=np.zeros(1))
    tokens = np.asarray([[BEGIN]])
    ended: list[tuple[float, Row]] = []
    for length in range(1, most + 1):
        logits, state = step(tokens, state)
        totals = beams.scores[:, None] + log_softmax(logits)
        if length == 1:
            totals[:, END] = -np.inf  # at least one token, as CTranslate2 has it
        beams, parents = _next(beams, totals, length, beam, ended)
        if len(ended) >= beam or not beams.rows:
            break
        state = reorder(state, parents)
        tokens = np.asarray([[row[-1]] for row in beams.rows])
    open_ = [(score / most, row) for score, row in zip(beams.scores, beams.rows, strict=True)]
    return max(ended or open_, key=lambda one: one[0])[1]


def _next(
    beams: Beams, totals_WV: np.ndarray, length: int, beam: int, ended: list[tuple[float, Row]]
) -> tuple[Beams, np.ndarray]:
    """The best continuations; of the first `beam` those that end are put with the ended ones."""
    flat = totals_WV.ravel()
    count = min(2 * beam, len(flat))
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[np.argsort(-flat[best], kind="stable")]
    rows: list[Row] = []
    scores: list[float] = []
    parents: list[int] = []
    for place, number in enumerate(best.tolist()):
        parent, token = divmod(number, totals_WV.shape[1])
        if token == END:
            if place < beam:
                ended.append((float(flat[number]) / length, beams.rows[parent]))
        elif len(rows) < beam:
            rows.append([*beams.rows[parent], token])
            scores.append(float(flat[number]))
            parents.append(parent)
    if beam == 1 and ended:
        rows = []
    return Beams(rows=rows, scores=np.asarray(scores[: len(rows)])), np.asarray(parents, int)


def log_softmax(logits_WV: np.ndarray) -> np.ndarray:
    """Log-probabilities of each row, in float64."""
    shifted = logits_WV.astype(np.float64) - logits_WV.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))  # type: ignore[no-any-return]
