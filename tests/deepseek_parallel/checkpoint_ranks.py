"""What ranks do with checkpoints; see `test_checkpoints`."""

from __future__ import annotations

import hashlib
import io

import rank_processes as group
import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import (
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from deepseek_parallel import Checkpoints, CompressedSGD, NeighborCopies


def plain(seed=0):
    """A model on one process or as equal replicas, and its optimizer."""
    torch.manual_seed(seed)
    net = torch.nn.Sequential(
        torch.nn.Linear(13, 31), torch.nn.BatchNorm1d(31), torch.nn.Linear(31, 3)
    )
    return net, torch.optim.AdamW(net.parameters(), lr=0.01)


def stepped(net, optimizer, steps, rank=0):
    """Some steps; those of a rank are its own."""
    for step in range(steps):
        group.one_step(net, optimizer, rank, step)


def digest(*states):
    """Of all tensors of states, whole, by name."""
    seen = hashlib.sha256()
    for state in states:
        for path, value in sorted(_leaves(state)):
            seen.update(repr((path, _shown(value))).encode())
    return seen.hexdigest()


def _shown(value):
    if not isinstance(value, torch.Tensor):
        return value
    whole = value.full_tensor() if hasattr(value, "full_tensor") else value
    return whole.dtype, tuple(whole.shape), whole.detach().float().numpy().tobytes()


def _leaves(state, path=""):
    if isinstance(state, dict):
        state = list(state.items())
    elif isinstance(state, list | tuple):
        state = list(enumerate(state))
    else:
        yield path, state
        return
    for key, value in state:
        yield from _leaves(value, f"{path}.{key}")


def warm():
    """Let a parent import what its children need, which takes seconds."""
    net, optimizer = plain()
    stepped(net, optimizer, 1)
    with Checkpoints("memory://warm") as checkpoints:
        checkpoints.save(1, net.state_dict(), optimizer.state_dict()).wait()
        checkpoints.load(net.state_dict(), optimizer.state_dict())


def replicas(rank, ranks, url):
    """Saved by replicas."""
    net, optimizer = plain()
    stepped(net, optimizer, 3)
    with Checkpoints(url) as checkpoints:
        checkpoints.save(3, net.state_dict(), optimizer.state_dict(), {"position": 24}).wait()
    return digest(net.state_dict(), optimizer.state_dict())


def replicas_loaded(rank, ranks, url):
    """Loaded into a fresh model, whose optimizer has no state yet."""
    net, optimizer = plain(seed=5)
    model, state = net.state_dict(), optimizer.state_dict()
    extra = Checkpoints(url).load(model, state)
    net.load_state_dict(model)
    optimizer.load_state_dict(state)
    return digest(net.state_dict(), optimizer.state_dict()), extra


def spread(ranks, seed=0):
    """A model whose rows lie on all ranks."""
    net, _ = plain(seed)
    fully_shard(net, mesh=init_device_mesh("cpu", (ranks,)))
    return net, torch.optim.AdamW(net.parameters(), lr=0.01)


def shards(rank, ranks, url):
    """Saved by ranks that each have a part."""
    net, optimizer = spread(ranks)
    stepped(net, optimizer, 3)
    state = get_optimizer_state_dict(net, optimizer)
    with Checkpoints(url) as checkpoints:
        checkpoints.save(3, net.state_dict(), state).wait()
    return digest(net.state_dict(), state)


def shards_loaded(rank, ranks, url):
    """Loaded onto as many parts as there are ranks now."""
    net, optimizer = spread(ranks, seed=5)
    model, state = net.state_dict(), get_optimizer_state_dict(net, optimizer)
    checkpoints = Checkpoints(url)
    checkpoints.load(model, state)
    net.load_state_dict(model)
    set_optimizer_state_dict(net, optimizer, state)
    return digest(net.state_dict(), get_optimizer_state_dict(net, optimizer))


def sent(*states):
    """As bytes, for the pipe to the parent."""
    file = io.BytesIO()
    torch.save(states, file)
    return file.getvalue()


def compressed(rank, ranks, url):
    """Saved with what each rank kept back of its gradients."""
    net = group.module()
    optimizer = CompressedSGD(net.parameters(), lr=0.1, ratio=0.05)
    stepped(net, optimizer, 6, rank)
    with Checkpoints(url) as checkpoints:
        checkpoints.save(6, net.state_dict(), optimizer.state_dict()).wait()
    return sent(net.state_dict(), optimizer.state_dict())


def compressed_loaded(rank, ranks, url):
    """Loaded onto other ranks."""
    net = group.module(seed=3)
    optimizer = CompressedSGD(net.parameters(), lr=0.7, ratio=0.05)
    model, state = net.state_dict(), optimizer.state_dict()
    Checkpoints(url).load(model, state)
    net.load_state_dict(model)
    optimizer.load_state_dict(state)
    return sent(net.state_dict(), optimizer.state_dict())


def recovered(rank, ranks, lost):
    """Ranks keep copies; one is lost, and the others, or one that joins, go on from them."""
    net = group.module()
    optimizer = CompressedSGD(net.parameters(), lr=0.1, ratio=0.05)
    stepped(net, optimizer, 6, rank)
    copies = NeighborCopies()
    copies.save(5, net.state_dict(), optimizer.state_dict())
    copies.save(6, net.state_dict(), optimizer.state_dict(), {"position": 48})
    before = sent(net.state_dict(), optimizer.state_dict())
    if rank == lost:
        copies = NeighborCopies()  # another process in its place, which has nothing
    fresh = group.module(seed=3)
    other = CompressedSGD(fresh.parameters(), lr=0.7, ratio=0.05)
    model, state = fresh.state_dict(), other.state_dict()
    assert copies.load(model, state) == (6, {"position": 48})
    joined = sent(model, state)
    left = dist.new_group([one for one in range(ranks) if one != lost])
    alone = sent()
    if rank != lost:
        last = group.module(seed=4)
        other = CompressedSGD(last.parameters(), lr=0.7, ratio=0.05, group=left)
        model, state = last.state_dict(), other.state_dict()
        copies.load(model, state, group=left)
        alone = sent(model, state)
    dist.barrier()  # rank 0 has the store of all groups
    return before, joined, alone


def stage(numbers):
    """Layers of a pipeline, named as in the whole model, and their optimizer after a step."""
    torch.manual_seed(sum(numbers))
    net = torch.nn.ModuleDict({f"layer{n}": torch.nn.Linear(4, 4) for n in numbers})
    optimizer = torch.optim.AdamW(net.parameters())
    sum(net[name](torch.ones(1, 4)).sum() for name in net).backward()
    optimizer.step()
    return net.state_dict(), get_optimizer_state_dict(net, optimizer)


def stages(rank, ranks, url):
    """Each rank saves its own layer, and takes it back."""
    model, state = stage([rank])
    with Checkpoints(url) as checkpoints:
        checkpoints.save(1, model, state).wait()
    other, fresh = stage([rank])
    for tensor in other.values():
        tensor.zero_()
    Checkpoints(url).load(other, fresh)
    return digest(other, fresh) == digest(model, state), sent(model, state)


def on_a_mesh(rank, ranks, url):
    """Tensors of many kinds, some on a mesh of two axes, as plain ones of `kinds`."""
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    state = kinds()
    state["wide"] = distribute_tensor(state["wide"], mesh, [Shard(0), Shard(1)])
    state["seven"] = distribute_tensor(state["seven"], mesh, [Replicate(), Shard(0)])
    with Checkpoints(url) as checkpoints:
        return checkpoints.save(1, state).wait().nbytes


def kinds():
    """Tensors of many dtypes and shapes."""
    torch.manual_seed(3)
    return {
        "wide": torch.randn(6, 10), "seven": torch.randn(7), "scalar": torch.tensor(3.5),
        "bf16": torch.randn(3, 4).bfloat16(), "empty": torch.empty(0, 4), "int": torch.arange(7),
        "turned": torch.randn(5, 6).t(), "complex": torch.randn(4, dtype=torch.complex64),
        "bool": torch.ones(4, dtype=torch.bool), "view": torch.randn(100)[10:20],
        "fp8": torch.randn(8).to(torch.float8_e4m3fn),
    }  # fmt: skip


def damaged_for_one(rank, ranks, url):
    """Only rank 1 reads the damaged file, and all are told."""
    net, optimizer = spread(ranks, seed=5)
    model, state = net.state_dict(), get_optimizer_state_dict(net, optimizer)
    return group.told(lambda: Checkpoints(url).load(model, state))
