"""Functions that run on each rank of a process group, and what starts them; see `test_sgd`."""

from __future__ import annotations

import io
import multiprocessing
import os
import socket
import time
import traceback
from datetime import timedelta

import torch
import torch.distributed as dist

from deepseek_core import DeepSeekError
from deepseek_parallel import CompressedSGD

LIMIT_S = 60.0
CALM_S = 50.0  # of a process group whose ranks share two cores
PATIENCE_S = 2.0  # of one that a test takes a rank from
HANGS = "hangs"  # what a rank gives that stays there without another word


def run(work, ranks, *given, patience_s=CALM_S):
    """What `work(rank, ranks, *given)` gives on each rank, by rank; None of one that was killed."""
    context = multiprocessing.get_context("fork")
    listener = socket.create_server(("127.0.0.1", 0))
    pipes, processes = [], []
    for rank in range(ranks):
        receiving, sending = context.Pipe(duplex=False)
        processes.append(
            context.Process(
                target=_rank, args=(sending, listener, work, rank, ranks, given, patience_s)
            )
        )
        processes[-1].start()
        sending.close()
        pipes.append(receiving)
    listener.close()  # it is rank 0's, whose end the others see
    found, until_s = [], time.monotonic() + LIMIT_S
    for pipe in pipes:
        is_told = pipe.poll(max(0.0, until_s - time.monotonic()))
        try:
            found.append(pipe.recv() if is_told else None)
        except EOFError:
            found.append(None)
    for process in processes:
        process.kill()
        process.join()
    for one in found:
        if isinstance(one, str) and one.startswith("Traceback"):
            raise AssertionError(one)
    return found


def _rank(sending, listener, work, rank, ranks, given, patience_s):
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    try:
        store = meeting(listener, rank, timedelta(seconds=patience_s))
        dist.init_process_group(
            "gloo", store=store, rank=rank, world_size=ranks, timeout=timedelta(seconds=patience_s)
        )
        dist.barrier()  # else the others, which may still connect, lose one that ends at once
        answer = work(rank, ranks, *given)
        sending.send(answer)
        if answer == HANGS:
            time.sleep(LIMIT_S)
    except BaseException:  # noqa: BLE001 - raised again by the test
        sending.send(traceback.format_exc())
    finally:
        sending.close()
        os._exit(0)  # no waiting for a rank that hangs


def meeting(listener, rank, timeout):
    """The store at a listener that was opened before the ranks were, and is served by rank 0."""
    host, port = listener.getsockname()
    number = listener.detach()
    if rank:
        os.close(number)
        return dist.TCPStore(host, port, is_master=False, timeout=timeout)
    return dist.TCPStore(
        host, port, is_master=True, wait_for_workers=False, timeout=timeout, master_listen_fd=number
    )


def module(seed=0):
    """A small network with odd sizes."""
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(13, 31), torch.nn.ReLU(), torch.nn.Linear(31, 3))


def batch(rank, step, size=8):
    """Pictures and their labels, of a rank in a step."""
    draw = torch.Generator().manual_seed(1000 * step + rank)
    x = torch.randn(size, 13, generator=draw)
    return x, (x.sum(1) > 0).long() + (x[:, 0] > 1).long()


def one_step(net, optimizer, rank, step, spoil=None):
    """Backward and step; the loss before it."""
    x, y = batch(rank, step)
    loss = torch.nn.functional.cross_entropy(net(x.to(next(net.parameters()).dtype)), y)
    optimizer.zero_grad()
    loss.backward()
    if spoil is not None:
        spoil(net)
    optimizer.step()
    return float(loss.detach())


def bits(net):
    """All parameters as bytes."""
    return b"".join(p.detach().float().numpy().tobytes() for p in net.parameters())


def trained(rank, ranks, steps, options):
    """Each rank begins with weights of its own, and all end with the same."""
    net = module(seed=rank)
    optimizer = CompressedSGD(net.parameters(), **{"lr": 0.1, "ratio": 0.05, **options})
    losses = [one_step(net, optimizer, rank, step) for step in range(steps)]
    return bits(net), losses


def resumed(rank, ranks, dtype):
    """Twelve steps, and twelve of which the last six began from what was saved."""
    net = module().to(dtype)
    optimizer = CompressedSGD(net.parameters(), lr=0.1, ratio=0.05)
    for step in range(6):
        one_step(net, optimizer, rank, step)
    file = io.BytesIO()
    torch.save([net.state_dict(), optimizer.state_dict()], file)
    for step in range(6, 12):
        one_step(net, optimizer, rank, step)
    file.seek(0)
    weights, state = torch.load(file)
    again = module(seed=5).to(dtype)
    other = CompressedSGD(again.parameters(), lr=0.7, ratio=0.05)
    again.load_state_dict(weights)
    other.load_state_dict(state)
    for step in range(6, 12):
        one_step(again, other, rank, step)
    refused = told(lambda: other.load_state_dict({**state, "compression": None}))
    refused += told(lambda: other.load_state_dict(torch.optim.SGD(net.parameters()).state_dict()))
    return bits(net), bits(again), refused


def states(rank, ranks, steps):
    """Parameters and state after some steps, as bytes."""
    net = module()
    optimizer = CompressedSGD(net.parameters(), lr=0.1, ratio=0.05)
    for step in range(steps):
        one_step(net, optimizer, rank, step)
    file = io.BytesIO()
    torch.save([net.state_dict(), optimizer.state_dict()], file)
    return file.getvalue()


def gone_on(rank, ranks, weights, given):
    """What begins from a state of this rank, with nothing of its own to add."""
    net = module(seed=3)
    optimizer = CompressedSGD(net.parameters(), lr=0.1, ratio=0.05)
    net.load_state_dict(weights)
    optimizer.load_state_dict(given[rank])
    before = [p.detach().clone() for p in net.parameters()]
    optimizer.zero_grad()
    for _ in range(300):
        optimizer.step()
    return [(b - p.detach()).numpy() for b, p in zip(before, net.parameters(), strict=True)]


class Odd(torch.nn.Module):
    """A frozen layer, a weight that is used twice, a sparse embedding, a branch of one rank."""

    def __init__(self, rank):
        super().__init__()
        self.embed = torch.nn.Embedding(40, 13, sparse=True)
        self.first = torch.nn.Linear(13, 13)
        self.second = torch.nn.Linear(13, 13)
        self.second.weight = self.first.weight
        self.frozen = torch.nn.Linear(13, 13).requires_grad_(requires_grad=False)
        self.norm = torch.nn.LayerNorm(13)
        self.branch = torch.nn.Linear(13, 3)
        self.last = torch.nn.Linear(13, 3)
        self.rank = rank

    def forward(self, x):
        """[B, 13] to [B, 3]; the rows of the embedding are those of the largest feature."""
        x = self.norm(self.frozen(torch.relu(self.second(torch.relu(self.first(x))))))
        x = x + self.embed(x.argmax(1) + 13 * (self.rank % 2))
        return self.branch(x) if self.rank == 0 else self.last(x)


def odd(rank, ranks):
    """Modules as users have them; what is frozen is not given to the optimizer."""
    torch.manual_seed(rank)
    net = Odd(rank)
    net.frozen.load_state_dict(torch.nn.Linear(13, 13).state_dict())
    given = [p for p in net.parameters() if p.requires_grad]
    optimizer = CompressedSGD(
        [{"params": given[:3]}, {"params": given[3:], "lr": 0.03, "weight_decay": 0.1}], lr=0.1
    )
    before = net.frozen.weight.clone()
    for step in range(20):
        one_step(net, optimizer, rank, step)
    assert torch.equal(before, net.frozen.weight)
    integers = torch.nn.Parameter(torch.arange(3), requires_grad=False)
    weights = b"".join(p.detach().numpy().tobytes() for p in given)
    return weights, told(lambda: CompressedSGD([integers], lr=0.1))


def spoiled(rank, ranks):
    """Rank 1 has NaN in its second parameter once; all are told and go on from where they were."""

    def spoil(net):
        if rank == 1:
            list(net.parameters())[1].grad[2] = float("nan")

    net = module()
    optimizer = CompressedSGD(net.parameters(), lr=0.1, ratio=0.05)
    one_step(net, optimizer, rank, 0)
    before = bits(net), {k: v.clone() for k, v in optimizer.state[net[0].weight].items()}
    error = told(lambda: one_step(net, optimizer, rank, 1, spoil))
    kept = optimizer.state[net[0].weight]
    same = bits(net) == before[0] and all(torch.equal(kept[k], v) for k, v in before[1].items())
    one_step(net, optimizer, rank, 1)
    return error, same, bits(net)


def grown(rank, ranks):
    """Gradients of rank 1 are finite, and what waits of them is not in the second step."""
    net = module()
    optimizer = CompressedSGD(net.parameters(), lr=1.0, ratio=0.05)

    def step():
        for param in net.parameters():
            param.grad = torch.full_like(param, 3e38 if rank == 1 else 1.0)
        optimizer.step()

    step()
    before = bits(net)
    return told(step), bits(net) == before


def another_model(rank, ranks):
    """Rank 1 has one more layer."""
    net = module() if rank != 1 else torch.nn.Sequential(module(), torch.nn.Linear(3, 3))
    return told(lambda: CompressedSGD(net.parameters(), lr=0.1))


def another_ratio(rank, ranks):
    """Rank 1 keeps more."""
    return told(lambda: CompressedSGD(module().parameters(), lr=0.1, ratio=0.01 * (1 + rank)))


def killed(rank, ranks):
    """The last rank ends in the middle of a step."""
    net = module()
    optimizer = CompressedSGD(net.parameters(), lr=0.1)
    one_step(net, optimizer, rank, 0)
    if rank == ranks - 1:
        os._exit(9)
    return waited(lambda: one_step(net, optimizer, rank, 1))


def hung(rank, ranks):
    """The last rank does not come to its second step."""
    net = module()
    optimizer = CompressedSGD(net.parameters(), lr=0.1)
    one_step(net, optimizer, rank, 0)
    if rank == ranks - 1:
        return HANGS
    return waited(lambda: one_step(net, optimizer, rank, 1))


def waited(deed):
    """What it says, and after how long."""
    start_s = time.monotonic()
    return told(deed), time.monotonic() - start_s


def told(deed):
    """The kind of error of the SDK that it raises, and what that says."""
    try:
        deed()
    except DeepSeekError as error:
        return [type(error).__name__, str(error)]
    return []


def _warm():
    """Load what torch imports at the first step: seconds of each rank, if not before the fork."""
    net = module()
    one_step(net, torch.optim.SGD(net.parameters(), lr=0.1), 0, 0)


_warm()
