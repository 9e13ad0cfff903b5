"""`Trainer` on real ranks: what one process would have computed, and the same on all."""

import numpy as np
import pytest
import rank_processes as group
import trainer_jobs as jobs
from process import one_thread


@pytest.fixture(autouse=True)
def _one_thread():
    with one_thread():
        yield


def alone(work, *given):
    return work(0, 1, *given)


@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("loss", [jobs.mean, jobs.weighted])
def test_ranks_with_uneven_shares_compute_what_one_process_computes(ranks, loss):
    weights, losses, _ = jobs.trained(0, 1, loss=loss, clip=0.5)
    for theirs, their_losses, _ in group.run(_clipped, ranks, loss):
        for a, b in zip(weights, theirs, strict=True):
            assert np.abs(a - b).max() <= 1e-6
        assert np.allclose(losses, their_losses, atol=1e-6)


def _clipped(rank, ranks, loss):
    return jobs.trained(rank, ranks, loss=loss, clip=0.5)


def test_complex_weights_are_trained_whole():
    """Copied as they are into a bucket of floats, they lost their imaginary part."""
    weights, losses, _ = jobs.trained(0, 1, make=jobs.waves, clip=0.5)
    assert losses[-1] < losses[0]
    for theirs, their_losses, _ in group.run(_waves, 2):
        for a, b in zip(weights, theirs, strict=True):
            assert np.abs(a - b).max() <= 1e-6
        assert np.allclose(losses, their_losses, atol=1e-6)


def _waves(rank, ranks):
    return jobs.trained(rank, ranks, make=jobs.waves, clip=0.5)


def test_the_gradient_is_that_of_the_whole_batch_in_plain_torch():
    """Not only of our own loop: a step of SGD on the mean over all ten samples."""
    import torch

    from deepseek_parallel.sampling import Order

    model = jobs.plain()
    optimizer = jobs.sgd(model)
    numbers = Order(60).indices(0, 30).reshape(3, 10)
    for some in numbers:
        optimizer.zero_grad()
        jobs.mean(model, jobs.data()[some]).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    weights, _, _ = jobs.trained(0, 1, steps=3, clip=0.5)
    for a, b in zip(model.parameters(), weights, strict=True):
        assert np.abs(a.detach().numpy() - b).max() <= 1e-6


def test_dropout_and_running_statistics_do_not_hang_on_the_ranks():
    _, losses, _ = jobs.trained(0, 1, make=jobs.noisy)
    found = group.run(_noisy, 3)
    for weights, theirs, buffers in found:
        assert np.allclose(losses, theirs, atol=1e-5)
        for name, same in ((w, found[0][0]) for w in (weights,)):
            assert all((a == b).all() for a, b in zip(name, same, strict=True))
        assert all((a == b).all() for a, b in zip(buffers, found[0][2], strict=True))
        assert buffers[2] == 8 * 4  # microbatches that the statistics have seen, on all ranks


def _noisy(rank, ranks):
    return jobs.trained(rank, ranks, make=jobs.noisy)


def test_more_ranks_than_samples():
    weights, losses, _ = jobs.trained(0, 1, batch=2, microbatch=None, steps=4)
    for theirs, their_losses, _ in group.run(_small, 3):
        assert np.allclose(losses, their_losses, atol=1e-6)
        assert all(np.abs(a - b).max() <= 1e-6 for a, b in zip(weights, theirs, strict=True))


def _small(rank, ranks):
    return jobs.trained(rank, ranks, batch=2, microbatch=None, steps=4)


def test_compressed_steps_are_of_the_mean_over_all_samples():
    """Of a constant gradient g all that was not sent waits: 40 steps are 40 x lr x g in the end."""
    for weight in group.run(jobs.constant_step, 3):
        wanted = -0.1 * 40 * np.linspace(0.5, 1.5, 64)
        assert np.abs(weight / wanted - 1).max() < 0.05


def test_compressed_replicas_are_equal_to_the_bit_and_learn():
    found = group.run(jobs.compressed, 3)
    assert len({weights for weights, *_ in found}) == 1
    _, losses, saved, nbytes = found[0]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])
    assert saved > 0
    assert nbytes > 0


@pytest.mark.parametrize(
    ("loss", "kind", "text"),
    [
        (jobs.spoiled_loss, "NotFiniteLoss", "the loss of rank "),
        (jobs.steep, "NotFiniteGradient", "the gradient of 0.weight on rank 0 holds NaN"),
    ],
)
def test_what_is_not_finite_is_told_on_all_ranks_and_changes_nothing(loss, kind, text):
    for (name, said), same in group.run(jobs.failing, 2, loss):
        assert name == kind
        assert text in said
        assert same


def test_an_error_of_one_rank_is_told_to_the_others_at_once():
    others = group.run(jobs.raising, 3)
    name, said, _ = others.pop(1)
    assert (name, said) == ("KeyError", "'label'")
    for name, said, seconds in others:
        assert name == "RankFailed"
        assert "rank 1 failed at step 2: KeyError: 'label'" in said
        assert seconds < group.CALM_S


def test_every_sample_is_evaluated_once_whatever_the_ranks():
    wanted = jobs.evaluated(0, 1)
    assert [step for step, _ in wanted] == [2, 4, 5]
    for found in group.run(jobs.evaluated, 3):
        for (step, mine), (other, theirs) in zip(wanted, found, strict=True):
            assert step == other
            assert mine["right"] == pytest.approx(theirs["right"], abs=1 / 50 + 1e-6)
            assert mine["loss"] == pytest.approx(theirs["loss"], rel=0.02)


def test_ranks_that_differ_are_told_before_a_step():
    for kind, text in group.run(jobs.other_settings, 2):
        assert kind == "StateMismatch"
        assert "ranks 1 have another model, dataset or settings than rank 0" in text


def test_branches_tied_frozen_and_unused_parameters():
    weights, losses = jobs.rare(0, 1)
    for theirs, their_losses in group.run(jobs.rare, 2):
        assert np.allclose(losses, their_losses, atol=1e-5)
        assert all(np.abs(a - b).max() <= 1e-5 for a, b in zip(weights, theirs, strict=True))


def test_shares_follow_the_speed_of_the_ranks():
    """One to three: 36 and 12 of 48 microbatches are balanced."""
    found = group.run(jobs.two_speeds, 2)
    imbalances, weights, losses = found[0]
    assert imbalances[0] == pytest.approx(0.5)
    assert max(imbalances[3:]) <= 0.05
    assert found[1][1] == weights
    model = jobs.plain()
    trainer = jobs.Trainer(
        model, jobs.sgd(model), jobs.mean, jobs.data(), batch=48, microbatch=1
    )  # fmt: skip
    assert np.allclose(losses, trainer.fit(steps=8).losses, atol=1e-6)


def test_balance_cuts_finer_where_microbatches_can_not_follow_the_speeds():
    """Of 3 microbatches, two speeds leave 20 % at best."""
    (imbalances, weights, losses), other = group.run(jobs.two_speeds, 2, 16)
    assert min(imbalances[:4]) > 0.15
    assert max(imbalances[5:]) <= 0.05
    assert other[1] == weights
    model = jobs.plain()
    trainer = jobs.Trainer(model, jobs.sgd(model), jobs.mean, jobs.data(), batch=48)
    assert np.allclose(losses, trainer.fit(steps=8).losses, atol=1e-6)


def test_an_evaluation_that_fails_on_one_rank_is_told_on_all():
    found = group.run(jobs.evaluated_badly, 2)
    assert found[1] == ("IndexError", "no such class")
    assert found[0][0] == "RankFailed"
    assert "rank 1 failed in the evaluation: IndexError: no such class" in found[0][1]


def test_compressed_sgd_of_the_users_own():
    found = group.run(jobs.given_compressed, 2)
    assert len({weights for weights, *_ in found}) == 1
    assert np.mean(found[0][1][-5:]) < 0.9 * np.mean(found[0][1][:5])
    assert found[0][2] > 0
