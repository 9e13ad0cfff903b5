"""A parameter server whose workers leave and join, beside one process at equal samples."""

import os

import elastic_processes
import pytest
import rank_processes
import torch
from elastic_processes import model, samples
from hypothesis import given
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel import Order, ParameterServer, work_at_server
from deepseek_parallel.server.staleness import Clocks

STEPS, BATCH = 600, 16


def batch_loss(net, number):
    x, y = samples()
    order = Order(elastic_processes.LENGTH, 1)
    indices = torch.from_numpy(order.indices(number * BATCH, BATCH))
    return ((net(x[indices]) - y[indices]) ** 2).mean()


def whole_loss(net):
    x, y = samples()
    with torch.no_grad():
        return float(((net(x) - y) ** 2).mean())


def optimizer_of(net):
    return torch.optim.SGD(net.parameters(), lr=0.05)


def served(rank, ranks, bound):
    """Worker 1 leaves after a third of the steps, and worker 3 comes only then."""
    net, _ = model()
    if rank == 0:
        server = ParameterServer(net.parameters(), optimizer_of(net), steps=STEPS, bound=bound)
        server.serve(ranks - 1)
        return whole_loss(net), server.version, server.seen
    if rank == 3:
        torch.distributed.recv(torch.zeros(1), 1)  # worker 1 has left
    numbers = []

    def gradient(number):
        numbers.append(number)
        batch_loss(net, number).backward()

    taken = work_at_server(net.parameters(), gradient, steps=STEPS // 3 if rank == 1 else None)
    if rank == 1:
        torch.distributed.send(torch.zeros(1), 3)
    return taken, numbers


def test_its_loss_is_that_of_one_process_though_workers_leave_and_join():
    bound = 4
    (loss, version, seen), *workers = rank_processes.run(served, 4, bound)
    assert version == STEPS == len(seen)
    numbers = sorted(number for _, given in workers for number in given)
    assert numbers == list(range(len(numbers)))  # each batch once
    assert STEPS <= len(numbers) < STEPS + 4
    assert all(taken > 0 for taken, _ in workers)
    assert max(seen) <= 3 * (bound + 1)
    net, _ = model()
    optimizer = optimizer_of(net)
    for number in range(STEPS):
        optimizer.zero_grad()
        batch_loss(net, number).backward()
        optimizer.step()
    assert loss == pytest.approx(whole_loss(net), rel=0.02)


def bereft(rank, ranks):
    """Worker 2 is killed at its third step."""
    net, _ = model()
    if rank == 0:
        server = ParameterServer(
            net.parameters(), optimizer_of(net), steps=100, bound=2, lost_after_s=1.5
        )
        server.serve(ranks - 1)
        return server.version
    numbers = []

    def gradient(number):
        numbers.append(number)
        if rank == 2 and len(numbers) == 3:
            os._exit(9)
        batch_loss(net, number).backward()

    work_at_server(net.parameters(), gradient)
    return numbers


def test_a_worker_that_is_killed_is_waited_for_no_more():
    version, first, killed, third = rank_processes.run(bereft, 4)
    assert version == 100
    assert killed is None
    # the batch of the killed one was given again; it had done two
    assert len(set(first + third)) == len(first + third)
    missing = set(range(100)) - set(first + third)
    assert len(missing) <= 2


@given(st.integers(0, 3), st.lists(st.integers(0, 4), max_size=60))
def test_nobody_is_further_ahead_than_the_bound(bound, chosen):
    clocks = Clocks(bound)
    for worker in range(5):
        clocks.join(worker)
    for worker in chosen:
        if clocks.may_go_on(worker):
            clocks.step(worker)
        assert max(clocks.steps.values()) - min(clocks.steps.values()) <= bound + 1
    clocks.leave(0)
    clocks.join(0)
    assert clocks.steps[0] == min(clocks.steps.values())


@pytest.mark.parametrize("options", [{"steps": 0}, {"steps": 1, "bound": -1}])
def test_numbers_that_can_not_be_are_refused(options):
    net, _ = model()
    with pytest.raises(errors.ConfigError, match="steps must be 1 or more"):
        ParameterServer(net.parameters(), optimizer_of(net), **options)
