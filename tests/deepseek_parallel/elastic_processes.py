"""Real workers of an elastic run, forked, around a real process of the roster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from pathlib import Path

import torch
import torch.distributed as dist

from deepseek_core import DeepSeekError
from deepseek_parallel import ElasticRanks, Order, RankLost, share
from deepseek_parallel.elastic.roster import Rules
from deepseek_parallel.elastic.roster_process import RosterProcess
from deepseek_parallel.lost import waited

LIMIT_S = 40.0  # of any wait of a test
LENGTH, BATCH = 96, 16


def samples():
    """float32 [96, 5] and [96, 1]."""
    draw = torch.Generator().manual_seed(5)
    x = torch.randn(LENGTH, 5, generator=draw)
    return x, x.sum(1, keepdim=True).sin()


def model():
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(5, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    return net, torch.optim.Adam(net.parameters(), lr=0.01)


def step(net, optimizer, position, rank=0, size=1, group=None):
    """One step of all ranks; the loss, mean over the batch of all."""
    x, y = samples()
    indices = torch.from_numpy(Order(LENGTH, 1).indices(position, BATCH))
    mine = indices[BATCH * rank // size : BATCH * (rank + 1) // size]
    optimizer.zero_grad()
    loss = ((net(x[mine]) - y[mine]) ** 2).sum()
    loss.backward()
    flat = torch.cat([loss.detach().view(1), *(p.grad.view(-1) for p in net.parameters())])
    if group is not None:
        waited(lambda: dist.all_reduce(flat, group=group), rank)
    flat /= BATCH
    begin = 1
    for param in net.parameters():
        param.grad.copy_(flat[begin : begin + param.numel()].view(param.shape))
        begin += param.numel()
    optimizer.step()
    return float(flat[0]), indices.tolist()


def alone(steps):
    """Losses of one process."""
    net, optimizer = model()
    return [step(net, optimizer, n * BATCH)[0] for n in range(steps)]


alone(1)  # loads what torch imports at the first step: seconds of each worker, not to be forked


def train(say, steps, step_s=0.0, options=None):
    """A worker: losses and samples of all steps, also of those before it came.

    `steps` is a number, or a shared value that holds it.
    """
    ranks = ElasticRanks.join(**(options or {}))
    net, optimizer = model()
    history = []

    def meet():
        state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "history": history}
        state, _ = share(state, len(history), ranks)
        net.load_state_dict(state["net"])
        optimizer.load_state_dict(state["optimizer"])
        history[:] = state["history"]

    must_meet = True
    while len(history) < getattr(steps, "value", steps):
        try:
            if must_meet:
                meet()
                must_meet = False
                say("member", ranks.epoch, ranks.rank, ranks.size, len(history))
            if not ranks.changed():
                begin_s = time.monotonic()
                history.append(
                    step(net, optimizer, len(history) * BATCH, ranks.rank, ranks.size, ranks.group)
                )
                say("step", len(history), ranks.epoch, time.monotonic() - begin_s)
                time.sleep(step_s)
                continue
        except RankLost:
            say("lost", ranks.epoch)
        say("renew", ranks.epoch)
        ranks.renew()
        must_meet = True
    say("done", history, [p.detach().numpy() for p in net.parameters()])
    ranks.leave()


def never_told(say, steps, options=None):
    """A worker whose collectives wait for ever from step 3 on, as where gloo loses an end."""
    waits = dist.all_reduce

    def all_reduce(*given, **options):
        if len(told) > 3:
            time.sleep(1000)
        return waits(*given, **options)

    told = []
    dist.all_reduce = all_reduce
    train(lambda *what: (say(*what), what[0] == "step" and told.append(1)), steps, 0.0, options)


def step_and_leave(say, options=None):
    """A worker that takes part once."""
    ranks = ElasticRanks.join(**(options or {}))
    share(None, -1, ranks)
    say("member", ranks.epoch)
    ranks.leave()


def die_while_building(say):
    """A worker that is killed when it begins to build the group."""
    dist.init_process_group = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
    ElasticRanks.join()


class Fleet:
    """Workers by the number that they were started with, and all that each has said."""

    def __init__(self, least=1, most=4, first=3, lost_after_s=1.0):
        rules = Rules(least=least, most=most, first=first, lost_after_s=lost_after_s)
        self.roster = RosterProcess(rules, "the-run")
        self.roster.start()
        self.context = multiprocessing.get_context("fork")
        self.processes, self.pipes, self.said = [], [], []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.join()
            process.close()
        for pipe in self.pipes:
            pipe.close()
        self.roster.stop()

    def start(self, work, *given, run="the-run"):
        """Start a worker; its number."""
        receiving, sending = self.context.Pipe(duplex=False)
        process = self.context.Process(
            target=_worker, args=(sending, self.roster.address, run, work, given)
        )
        process.start()
        sending.close()
        self.processes.append(process)
        self.pipes.append(receiving)
        self.said.append([])
        return len(self.processes) - 1

    def kill(self, number, how=signal.SIGKILL):
        os.kill(self.processes[number].pid, how)

    def listen(self, limit_s=0.02):
        """Take in what was said."""
        open_pipes = {p: n for n, p in enumerate(self.pipes) if not p.closed}
        for pipe in multiprocessing.connection.wait(list(open_pipes), limit_s):
            try:
                self.said[open_pipes[pipe]].append(pipe.recv())
            except EOFError:
                pipe.close()

    def until(self, is_true):
        """Listen until it is true."""
        until_s = time.monotonic() + LIMIT_S
        while not is_true():
            assert time.monotonic() < until_s, self.story()
            self.listen()
            for said in self.said:
                assert not said or said[-1][0] != "failed", said[-1][1]

    def last(self, number, kind):
        """What a worker has said last of a kind, without the kind."""
        return next((one[1:] for one in reversed(self.said[number]) if one[0] == kind), None)

    def endless(self):
        """A number of steps that `close_end` makes a finite one."""
        return self.context.Value("i", 10**6)

    def close_end(self, steps):
        """Let the workers end soon: all hear of it before; the steps then."""
        steps.value = max(map(self.steps, range(len(self.processes)))) + 30
        return steps.value

    def steps(self, number):
        """Steps that a worker has taken or got."""
        last = self.last(number, "step")
        return last[0] if last else 0

    def end(self, *numbers):
        """Wait until they are done; the history of each."""
        self.until(lambda: all(self.last(n, "done") for n in numbers))
        return [self.last(n, "done") for n in numbers]

    def error(self, number):
        """Wait for the error of the SDK by which a worker has ended."""
        self.until(lambda: self.last(number, "error"))
        return self.last(number, "error")

    def story(self):
        return [[one if one[0] != "done" else "done" for one in said[-5:]] for said in self.said]


def usage(process):
    """Open descriptors and threads of a process."""
    of = Path("/proc") / str(process.pid)
    return len(list((of / "fd").iterdir())), len(list((of / "task").iterdir()))


def _worker(sending, address, run, work, given):
    torch.set_num_threads(1)
    os.environ.update(GLOO_SOCKET_IFNAME="lo", DEEPSEEK_ROSTER=address, DEEPSEEK_RUN=run)

    def say(*words):
        sending.send(words)

    try:
        work(say, *given)
    except DeepSeekError as error:
        say("error", type(error).__name__, str(error))
    except BaseException:  # noqa: BLE001 - raised again by the test
        say("failed", traceback.format_exc())
    finally:
        sending.close()
        os._exit(0)
