"""States of `CompressedSGD` for another number of ranks than saved them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from deepseek_core import errors
from deepseek_parallel.errors import StateMismatch
from deepseek_parallel.exchange import Layout

State = Mapping[str, Any]


def is_of_rank(state: State) -> bool:
    """Whether an optimizer's state is another one on each rank, and `resharded` takes it."""
    return "compression" in state


def resharded(states: Sequence[State], ranks: int) -> list[dict[str, Any]]:
    """The states of `ranks` ranks that go on where these stopped: those of all ranks of a run.

    What waited still waits, and counts once: the mean over the ranks of what each kept back of its
    gradient, and what each owner kept back of its sum. Velocities become their mean.

    Raises:
        StateMismatch: they are not those of all ranks of one run.
        InputError: no rank.
    """
    if ranks < 1:
        raise errors.InputError(f"ranks must be 1 or more, got {ranks}")
    ordered = _of_one_run(states)
    first = ordered[0]
    numbers = [number for group in first["param_groups"] for number in group["params"]]
    length = first["compression"]["length"]
    layout = Layout(length=length, ranks=ranks, ratio=1.0, ratio_of_sum=1.0)
    shared = {
        number: {name: _mean(ordered, number, name) for name in ("velocity", "residual")}
        for number in numbers
    }
    left = {number: sum(_kept(state, number, "left") for state in ordered) for number in numbers}
    return [
        {
            "state": {
                number: {**{n: v.clone() for n, v in shared[number].items()}, "left": mine}
                for number, mine in _owned(left, *layout.bounds(rank)).items()
            },
            "param_groups": [dict(group) for group in first["param_groups"]],
            "compression": {"rank": rank, "ranks": ranks, "length": length},
        }
        for rank in range(ranks)
    ]


def _of_one_run(states: Sequence[State]) -> list[State]:
    """The states by rank."""
    told = [one for state in states if isinstance(one := state.get("compression"), dict)]
    if not told or len(told) < len(states):
        raise StateMismatch(
            "these are no states of CompressedSGD",
            remedy="give what state_dict() gave on each rank",
        )
    found = {one["rank"]: state for one, state in zip(told, states, strict=True)}
    runs = {(one["ranks"], one["length"]) for one in told}
    ranks = told[0]["ranks"]
    if len(runs) > 1 or len(states) != ranks or sorted(found) != list(range(ranks)):
        have = ", ".join("rank {rank} of {ranks}".format(**one) for one in told)
        raise StateMismatch(
            f"these are not the states of all ranks of one run: {have}",
            remedy="give the state of each rank once, all of the same step",
        )
    return [found[rank] for rank in range(ranks)]


def _kept(state: State, number: int, name: str) -> Any:
    return state["state"][number][name]


def _mean(states: Sequence[State], number: int, name: str) -> Any:
    return sum(_kept(state, number, name) for state in states) / len(states)


def _owned(left: Mapping[int, Any], begin: int, end: int) -> dict[int, Any]:
    """The part of each parameter that lies in a slice of all of them; zero elsewhere."""
    mine, offset = {}, 0
    for number, whole in left.items():
        flat = whole.reshape(-1)
        part = flat.new_zeros(len(flat))
        first, last = max(begin - offset, 0), max(end - offset, 0)
        part[first:last] = flat[first:last]
        mine[number] = part.reshape(whole.shape)
        offset += len(flat)
    return mine
