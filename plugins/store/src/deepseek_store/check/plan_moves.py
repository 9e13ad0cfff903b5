"""Plans what should move, by what the store knows now, and carries it out."""

from __future__ import annotations

from collections.abc import Callable

from deepseek_core import errors
from deepseek_store.log.reserve import free_nbytes
from deepseek_store.move.census import take_census
from deepseek_store.parts import HOT_SPEED, Parts
from deepseek_store.planning import moves as planning
from deepseek_store.planning.moves import MovePlan
from deepseek_store.planning.policy import TIERS, TierName
from deepseek_store.planning.tiering import TierTerms

Progress = Callable[[int, int, str], None]


def make_plan(parts: Parts, *, flush: bool = False, budget_nbytes: int | None = None) -> MovePlan:
    """What should move now.

    Raises:
        CodeRefused: a tier can't carry what the policy asks for.
        TierUnavailable: a tier can't be reached.
    """
    parts.state.refresh()
    parts.heat.settle(parts.clock())
    if flush:
        parts.journal.seal()
    parts.committer.flush()
    census = take_census(parts.state, parts.heat)
    now_s = parts.clock()
    moves = planning.plan(
        census.objects,
        census.segment_states(parts.state),
        terms(parts),
        parts.config.policy,
        now_s,
        learned=parts.learner.foretold,
        budget_nbytes=budget_nbytes,
        cold_waiting_since_s=parts.cold_waiting_since_s,
        flush=flush,
    )
    if not moves.waiting_nbytes["cold"]:
        parts.cold_waiting_since_s = None
    elif parts.cold_waiting_since_s is None:
        parts.cold_waiting_since_s = now_s
    return moves


def apply_plan(parts: Parts, moves: MovePlan, progress: Progress | None = None) -> int:
    """Carry out a plan, step by step; how many steps were done.

    Raises:
        StorageError: of the step that failed; those before it are done, and it is as it was.
    """
    for done, move in enumerate(moves.moves):
        if progress is not None:
            progress(done, len(moves.moves), str(move))
        try:
            parts.mover.apply(move)
        except errors.TierFull as error:
            parts.events.full(error)
            raise
        if move.kind != "drop":  # what lies in a stripe already
            parts.events.moved(move.source, move.target, move.nbytes)
    parts.events.flush()
    if progress is not None and moves.moves:
        progress(len(moves.moves), len(moves.moves), "done")
    return len(moves.moves)


def terms(parts: Parts) -> list[TierTerms]:
    """What each tier costs here: speed, redundancy and space."""
    stored = parts.state.stored_nbytes()
    hot = TierTerms(
        name="hot",
        latency_s=HOT_SPEED.latency_s,
        bytes_per_s=HOT_SPEED.bytes_per_s,
        stored_per_logical=float(1 + len(parts.config.mirrors)),
        capacity_nbytes=free_nbytes(parts.home) + stored["hot"],
        used_nbytes=stored["hot"],
    )
    found = [hot]
    for tier in TIERS[1:]:
        if parts.config.of(tier):
            found.append(_terms(parts, tier, stored[tier]))
    return found


def _terms(parts: Parts, tier: TierName, used_nbytes: int) -> TierTerms:
    assert tier != "hot"
    profile = parts.tiers.profile(tier)
    assert profile is not None
    code = parts.mover.choice(tier).code
    return TierTerms(
        name=tier,
        latency_s=profile.latency_s,
        bytes_per_s=profile.bytes_per_s,
        stored_per_logical=1 / code.efficiency,
        capacity_nbytes=profile.capacity_nbytes,
        used_nbytes=used_nbytes,
        data_fragments=code.k,
    )
