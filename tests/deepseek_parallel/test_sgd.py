"""`CompressedSGD` on real process groups: equal to the bit, and clear about what goes wrong."""

import io

import numpy as np
import pytest
import rank_processes as group
import torch

from deepseek_core import errors
from deepseek_parallel import CompressedSGD, StateMismatch, resharded


@pytest.mark.parametrize(
    ("ranks", "options"), [(1, {}), (2, {"weight_decay": 0.01, "momentum": 0.0}), (4, {})]
)
def test_all_ranks_end_with_the_same_bits_and_learn(ranks, options):
    found = group.run(group.trained, ranks, 80, options)
    assert len({weights for weights, _ in found}) == 1
    losses = np.mean([losses for _, losses in found], axis=0)
    assert losses[-10:].mean() < 0.8 * losses[:10].mean()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_saved_goes_on_to_the_bit(dtype):
    found = group.run(group.resumed, 2, dtype)
    for went_on, began_again, refused in found:
        assert went_on == began_again
        assert refused[0] == refused[2] == "StateMismatch"
        assert "another optimizer" in refused[1]


@pytest.mark.parametrize(("saved", "loaded"), [(3, 2), (1, 3), (2, 1)])
def test_another_number_of_ranks_goes_on_with_all_that_waited(saved, loaded):
    """Without gradients, all that waits is sent in the end: as much as the ranks had together."""
    found = [torch.load(io.BytesIO(data)) for data in group.run(group.states, saved, 6)]
    weights, states = found[0][0], [state for _, state in found]
    given = resharded(states[::-1], loaded)
    changes = group.run(group.gone_on, loaded, weights, given)
    for number in range(4):
        kept = [state["state"][number] for state in states]
        waits = sum(one["residual"] for one in kept) / saved + sum(one["left"] for one in kept)
        # Of a velocity v, each step adds what is left of it: .9 v, .81 v, ... until it is sent.
        added = 9 * sum(one["velocity"].abs() for one in kept) / saved
        mine = [change[number] for change in changes]
        assert all((one == mine[0]).all() for one in mine)
        assert (abs(mine[0] - waits.numpy()) <= added.numpy() + 1e-3).all()


@pytest.mark.parametrize(
    "chosen",
    [[], [0], [0, 0], [0, 1, 1]],
)
def test_states_that_are_not_of_all_ranks_are_refused(chosen):
    told = [{"compression": {"rank": rank, "ranks": 2, "length": 5}} for rank in (0, 1)]
    with pytest.raises(StateMismatch):
        resharded([told[number] for number in chosen], 3)
    with pytest.raises(StateMismatch, match="no states of CompressedSGD"):
        resharded([{"state": {}}], 3)
    with pytest.raises(errors.InputError, match="ranks must be 1 or more"):
        resharded(told, 0)


def test_modules_as_users_have_them():
    """Tied weights, a sparse embedding, groups of rates, and parameters without a gradient."""
    found = group.run(group.odd, 2)
    assert len({weights for weights, _ in found}) == 1
    for _, (kind, text) in found:
        assert kind == "ConfigError"
        assert "parameter 0 is torch.int64" in text


def test_a_gradient_that_is_not_finite_is_told_on_all_ranks_and_changes_nothing():
    found = group.run(group.spoiled, 3)
    for (kind, text), same, _ in found:
        assert kind == "NotFiniteGradient"
        assert "parameter 1 on rank 1" in text
        assert same
    assert len({weights for *_, weights in found}) == 1


def test_what_grows_beyond_float32_while_it_waits_is_told_on_all_ranks():
    for (kind, text), same in group.run(group.grown, 2):
        assert kind == "NotFiniteGradient"
        assert "the gradient of parameter 0 on rank 1" in text
        assert same


@pytest.mark.parametrize("work", [group.another_model, group.another_ratio])
def test_ranks_that_differ_are_told_before_anything_is_exchanged(work):
    for kind, text in group.run(work, 2):
        assert kind == "StateMismatch"
        assert "ranks 1 have other parameters or settings than rank 0" in text


@pytest.mark.parametrize("work", [group.killed, group.hung])
def test_a_lost_rank_is_told_in_time(work):
    *others, last = group.run(work, 3, patience_s=group.PATIENCE_S)
    assert last in (None, group.HANGS)
    for (kind, text), seconds in others:
        assert kind == "RankLost"
        assert "got no answer of another one" in text
        assert seconds < group.PATIENCE_S + 5


def test_it_says_that_there_is_no_process_group():
    with pytest.raises(errors.ConfigError, match="init_process_group"):
        CompressedSGD(group.module().parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", -1), ("momentum", 1), ("weight_decay", -0.1), ("ratio", 0), ("ratio_of_sum", 2)],
)
def test_a_setting_that_can_not_be_is_refused(name, value):
    with pytest.raises(errors.ConfigError, match=f"{name} can't be {value}"):
        CompressedSGD(group.module().parameters(), **{"lr": 0.1, name: value})
