"""A parameter server whose workers leave, join, fail and are killed, beside one process."""

import multiprocessing
import os
import signal
import socket
import threading
import time

import elastic_processes
import pytest
import torch
from elastic_processes import model, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from deepseek_core import errors
from deepseek_parallel import (
    CodeMismatch,
    NotFiniteGradient,
    Order,
    ParameterServer,
    RankFailed,
    RankLost,
    StateMismatch,
    work_at_server,
)
from deepseek_parallel.server import frames
from deepseek_parallel.server.staleness import Batches

BATCH, LIMIT_S = 16, 20.0
FORKED = multiprocessing.get_context("fork")


def batch_loss(net, number, size=BATCH):
    x, y = samples()
    order = Order(elastic_processes.LENGTH, 1)
    indices = torch.from_numpy(order.indices(number * size, size))
    return ((net(x[indices]) - y[indices]) ** 2).mean()


def whole_loss(net):
    x, y = samples()
    with torch.no_grad():
        return float(((net(x) - y) ** 2).mean())


def sgd_of(net):
    return torch.optim.SGD(net.parameters(), lr=0.05)


def bits(net):
    return torch.cat([p.detach().reshape(-1) for p in net.parameters()])


def alone(steps, size=BATCH):
    """One process."""
    net, _ = model()
    optimizer = sgd_of(net)
    for number in range(steps):
        optimizer.zero_grad()
        batch_loss(net, number, size).backward()
        optimizer.step()
    return net


class Worker(threading.Thread):
    """A worker in a thread; `gradient(number, net)` does the backward pass."""

    def __init__(self, server, gradient=None, *, net=None, **options):
        super().__init__(daemon=True)
        self.net = net or model()[0]
        self.numbers, self.error, self.taken = [], None, None
        self._gradient = gradient or (lambda number, net: batch_loss(net, number).backward())
        self._options = {"address": server.address, "limit_s": LIMIT_S, **options}
        self.start()

    def run(self):
        def gradient(number):
            self._gradient(number, self.net)
            self.numbers.append(number)

        try:
            self.taken = work_at_server(self.net.parameters(), gradient, **self._options)
        except Exception as error:  # noqa: BLE001 - looked at by the test
            self.error = error


def joined(*workers):
    for worker in workers:
        worker.join(LIMIT_S)
        assert not worker.is_alive()


def served(steps, **options):
    net, _ = model()
    return net, ParameterServer(net.parameters(), sgd_of(net), steps=steps, **options)


def test_with_a_bound_of_0_it_is_one_process():
    net, server = served(12, per_step=3, bound=0)
    work = lambda number, net: batch_loss(net, number, 4).backward()  # noqa: E731
    workers = [Worker(server, work) for _ in range(3)]
    server.serve()
    joined(*workers)
    assert [worker.error for worker in workers] == [None] * 3
    assert sorted(n for worker in workers for n in worker.numbers) == list(range(36))
    assert server.seen == [0] * 36
    torch.testing.assert_close(bits(net), bits(alone(12, 12)), rtol=1e-5, atol=1e-6)


def test_its_loss_is_that_of_one_process_though_workers_leave_and_join():
    net, server = served(400, per_step=3, bound=2)
    work = lambda number, net: batch_loss(net, number, 4).backward()  # noqa: E731
    workers = [Worker(server, work) for _ in range(2)]
    workers += [Worker(server, work, steps=100)]

    def one_more(version):
        if version == 100:
            workers.append(Worker(server, work))

    server._after_step = one_more
    server.serve()
    joined(*workers)
    assert [worker.error for worker in workers] == [None] * 4
    assert workers[2].taken == 100
    assert all(worker.taken for worker in workers)
    # each batch once, and none older than the bound
    assert sorted(n for worker in workers for n in worker.numbers) == list(range(1200))
    assert max(server.seen) <= 2
    assert whole_loss(net) == pytest.approx(whole_loss(alone(400, 12)), rel=0.02)


def killed_at(number_of_kill, server):
    def gradient(number, net):
        if number == number_of_kill:
            os.kill(os.getpid(), signal.SIGKILL)
        batch_loss(net, number).backward()

    def work():
        Worker(server, gradient).join()

    process = FORKED.Process(target=work, daemon=True)
    process.start()
    return process


def test_the_batch_of_a_killed_worker_is_given_to_another_at_once():
    _, server = served(30, bound=3)
    process = killed_at(5, server)

    def come(version):  # the killed one has the batches until it is killed
        if version == 5:
            workers.extend(Worker(server) for _ in range(2))

    workers = []
    server._after_step = come
    begin_s = time.monotonic()
    server.serve()
    process.join(LIMIT_S)
    joined(*workers)
    assert process.exitcode == -signal.SIGKILL
    assert sorted(n for worker in workers for n in worker.numbers) == list(range(5, 30))
    assert server.version == 30
    assert time.monotonic() - begin_s < 30  # and not the 60 s after which a silent one is lost


def spoil_at(bad, what):
    def gradient(number, net):
        batch_loss(net, number).backward()
        if number == bad:
            if what == "raise":
                raise KeyError("no such picture")
            net[2].weight.grad[0, 3] = float(what)

    return gradient


@pytest.mark.parametrize("what", ["nan", "inf", "raise"])
def test_a_bad_worker_takes_neither_the_weights_nor_the_others_down(what):
    net, server = served(20)
    bad = Worker(server, spoil_at(3, what))
    workers = []

    def come(version):
        if version == 3:
            workers.extend(Worker(server) for _ in range(2))

    server._after_step = come
    server.serve()
    joined(bad, *workers)
    assert [worker.error for worker in workers] == [None] * 2
    if what == "raise":
        assert type(bad.error) is KeyError
    else:
        assert type(bad.error) is NotFiniteGradient
        assert (bad.error.rank, bad.error.parameter) == (0, 2)
        assert "batch 3 holds NaN or infinity" in str(bad.error)
    assert server.version == 20
    assert whole_loss(net) < 0.9 * whole_loss(model()[0])


@pytest.mark.parametrize(("what", "kind"), [("nan", NotFiniteGradient), ("raise", RankFailed)])
def test_a_bad_batch_ends_it_for_all_by_name(what, kind):
    _, server = served(200)
    spoil, all_are_there = spoil_at(7, what), threading.Barrier(3)

    def gradient(number, net):
        if number < 3:
            all_are_there.wait(LIMIT_S)
        spoil(number, net)

    workers = [Worker(server, gradient) for _ in range(3)]
    with pytest.raises(kind, match=r"batch 7\b"):
        server.serve()
    joined(*workers)
    kinds = sorted(type(worker.error).__name__ for worker in workers)
    own = kind if what == "nan" else KeyError
    assert kinds == sorted([own.__name__, own.__name__, kind.__name__])


def test_a_step_that_makes_weights_infinite_ends_it_by_name():
    net, _ = model()
    server = ParameterServer(net.parameters(), torch.optim.SGD(net.parameters(), lr=1e38), steps=9)
    worker = Worker(server, lambda number, net: (batch_loss(net, number) * 1e4).backward())
    with pytest.raises(NotFiniteGradient, match="has made parameter 0 NaN or infinite"):
        server.serve()
    joined(worker)
    assert type(worker.error) is NotFiniteGradient


def test_a_hung_worker_is_waited_for_no_more():
    _, server = served(20, lost_after_s=1.0)
    free = threading.Event()

    def hang(number, net):
        free.wait(LIMIT_S)
        batch_loss(net, number).backward()

    hung = Worker(server, hang)
    others = [Worker(server)]
    server.serve()
    free.set()
    joined(hung, *others)
    assert server.version == 20
    assert max(server.seen) <= 2
    assert {*range(1, 20)} <= {*others[0].numbers}


def test_nobody_comes():
    _, server = served(20, lost_after_s=0.3)
    with pytest.raises(RankLost, match=r"anything for 0.3 s, and 20 steps are left"):
        server.serve()


def test_a_server_that_is_killed_is_told_to_the_workers_at_once():
    _, server = served(20)
    server._after_step = lambda version: os._exit(9) if version == 5 else None
    process = FORKED.Process(target=server.serve, daemon=True)
    process.start()
    begin_s = time.monotonic()
    worker = Worker(server, limit_s=1000)
    server._listener.close()  # that of the process lives on
    joined(worker)
    process.join(LIMIT_S)
    assert type(worker.error) is RankLost
    assert worker.numbers == list(range(5))
    assert time.monotonic() - begin_s < LIMIT_S


def test_a_server_that_hangs_is_told_within_the_limit():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(RankLost, match=r"server at 127.0.0.1:\d+ does not answer: timed out"):
            work_at_server(model()[0].parameters(), None, address=address, limit_s=0.3)
    with pytest.raises(RankLost, match="does not answer"):
        work_at_server(model()[0].parameters(), None, address=address, limit_s=0.3)


def test_a_worker_of_another_model_or_version_is_refused():
    _, server = served(20)
    other = Worker(server, net=torch.nn.Linear(4, 3))
    answers = []

    def older():
        with socket.create_connection(server.address.split(":"), LIMIT_S) as peer:
            peer.sendall(frames.text(frames.JOIN, code="older", model=0))
            answers.append(peer.makefile("rb").read())

    another = threading.Thread(target=older, daemon=True)
    another.start()
    worker = Worker(server)
    server.serve()
    joined(other, worker, another)
    answer = frames.fields(answers[0][frames.HEAD_NBYTES :])
    assert answer["kind"] == CodeMismatch.__name__
    assert "and the server python 3" in answer["said"]
    assert type(other.error) is StateMismatch
    assert worker.error is None
    assert server.version == 20


@settings(max_examples=5, deadline=None)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=8), st.booleans())
def test_strangers_do_not_disturb_it(garbage, is_framed):
    _, server = served(8)
    peers = []
    for data in garbage:
        peers.append(socket.create_connection(server.address.split(":")))
        head = frames.Head(len(data) % 9, 1, 1, len(data)).packed() if is_framed else b""
        peers[-1].sendall(head + data)
    worker = Worker(server)
    server.serve()
    joined(worker)
    for peer in peers:
        peer.close()
    assert worker.error is None
    assert server.version == 8


def test_it_goes_on_from_a_version():
    net, server = served(9)
    worker = Worker(server)
    server.serve()
    joined(worker)
    torch.testing.assert_close(bits(net), bits(alone(9)), rtol=1e-5, atol=1e-6)
    with pytest.raises(errors.ConfigError, match=r"has ended -> make another .* version=9"):
        server.serve()
    rest = ParameterServer(net.parameters(), server._optimizer, steps=14, version=9)
    worker = Worker(rest)
    rest.serve()
    joined(worker)
    assert worker.numbers == list(range(9, 14))
    torch.testing.assert_close(bits(net), bits(alone(14)), rtol=1e-5, atol=1e-6)


EVENTS = st.lists(st.tuples(st.sampled_from(["begin", "take", "lose"]), st.integers(0, 4)))


@given(st.integers(0, 5), st.integers(1, 6), st.integers(1, 20), EVENTS)
def test_each_batch_counts_once_and_none_is_older_than_the_bound(bound, per_step, steps, events):
    batches, taken = Batches(steps, bound, per_step), []

    def deed(kind, worker):
        if kind == "begin" and worker not in batches.given:
            return batches.begin(worker) is not None
        if kind == "take" and worker in batches.given:
            taken.append(batches.given[worker].batch)
            batches.take(worker)
        if kind == "lose":
            batches.lose(worker)
        return False

    for kind, worker in events:
        deed(kind, worker)
    while not batches.is_over:  # and it ends, whatever has happened
        for worker in range(5):
            deed("begin", worker)
        assert batches.given
        deed("take", next(reversed(batches.given)))
    assert sorted(taken) == list(range(steps * per_step))
    assert max(batches.seen) <= bound
    assert batches.version == steps


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"steps": 0}, "steps and per_step must be 1 or more"),
        ({"steps": 1, "per_step": 0}, "steps and per_step must be 1 or more"),
        ({"steps": 1, "bound": -1}, "bound 0 or more"),
        ({"steps": 1, "version": 2}, "version must be 0 to 1"),
        ({"steps": 1, "lost_after_s": 0}, "lost_after_s must be more than 0"),
        ({"steps": 1, "address": "nowhere"}, "can't listen at nowhere"),
    ],
)
def test_numbers_that_can_not_be_are_refused(options, told):
    net, _ = model()
    with pytest.raises(errors.ConfigError, match=told):
        ParameterServer(net.parameters(), sgd_of(net), **options)


def test_parameters_that_can_not_be_sent_are_refused():
    net, _ = model()
    other, _ = model()
    with pytest.raises(errors.ConfigError, match="the optimizer does not step parameter 0"):
        ParameterServer(other.parameters(), sgd_of(net), steps=1)
    with pytest.raises(errors.ConfigError, match=r"parameter 0 is of torch\.float64"):
        ParameterServer(net.double().parameters(), sgd_of(net), steps=1)
    with pytest.raises(errors.ConfigError, match="no parameter is trained"):
        work_at_server([torch.zeros(3)], None, address="127.0.0.1:1")
    with pytest.raises(errors.ConfigError, match="steps must be 1 or more"):
        work_at_server(other.parameters(), None, address="127.0.0.1:1", steps=0)
    with pytest.raises(errors.ConfigError, match="'here' is not HOST:PORT"):
        work_at_server(other.parameters(), None, address="here")
