"""Models, batches and plans of the tests of strategies, and what each rank does with them."""

from __future__ import annotations

import os
import warnings

import attrs
import rank_processes as group
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from deepseek_core import Mesh, training
from deepseek_parallel.strategies import applying  # noqa: F401 - once, before ranks are forked
from deepseek_parallel.strategies.norm import fit_optimizer
from deepseek_parallel.strategies.profiling import profile
from deepseek_parallel.strategies.splitting import split
from deepseek_parallel.strategies.strategy import Hybrid, Replicas, Shards, Stages, Tensors

STEPS, BATCH, WORDS, WIDTH = 20, 16, 41, 16
KINDS = {kind.name: kind for kind in (Replicas, Shards, Tensors, Stages, Hybrid)}


class Attention(nn.Module):
    """Of four heads, as many people write it."""

    def __init__(self, width):
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.out = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, x):
        heads = [
            part(x).unflatten(-1, (-1, WIDTH // 4)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        ]
        mixed = functional.scaled_dot_product_attention(*heads, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and an MLP, each behind a norm."""

    def __init__(self, width, drop=0.0):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width)
        self.norm2, self.drop = nn.LayerNorm(width), nn.Dropout(drop)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)

    def forward(self, x):
        x = x + self.drop(self.attention(self.norm(x)))
        return x + self.down(self.drop(functional.gelu(self.up(self.norm2(x)))))


def language_model(seed=0, blocks=2, drop=0.0):
    """Four layers, of which the first and the last differ from those between."""
    torch.manual_seed(seed)
    between = [Block(WIDTH, drop) for _ in range(blocks)]
    return nn.Sequential(nn.Embedding(WORDS, WIDTH), *between, nn.Linear(WIDTH, WORDS))


def loss(model, batch):
    """The mean over the items of a batch."""
    words, next_words = batch
    return functional.cross_entropy(model(words).flatten(0, 1), next_words.flatten())


def loss_of_words(model, batch):
    """Sum and count of the words that count, as many as the batch happens to have."""
    words, next_words = batch
    counted = next_words % 3 > 0
    return functional.cross_entropy(
        model(words)[counted], next_words[counted], reduction="sum"
    ), int(counted.sum())


def batch(step, size=BATCH):
    """Rows of words, and those that follow."""
    draw = torch.Generator().manual_seed(step)
    words = torch.randint(0, WORDS, (size, 5), generator=draw)
    return words, (words * 7 + 1) % WORDS


def cluster(ranks):
    """Equal ranks on one machine."""
    link = training.Link(bytes_per_s=1e9, latency_s=3e-5)
    return training.Cluster(
        groups=[
            training.Group(
                name="cores", nodes=1, gpus_per_node=ranks, flops_per_s={"fp32": 5e10},
                memory_nbytes=8e9, memory_bytes_per_s=1e10, inside=link, between=link,
            )
        ]
    )  # fmt: skip


def plan(name, ranks, model=None, shares=None, size=BATCH, **wished):
    """A strategy's plan for a model: with these shares of microbatches, if some are given."""
    model = model or language_model()
    strategy = training.open_strategy(name, wished)
    found = profile(model, loss, batch(0, 2), batch=size).profile
    made = strategy.plan(found, cluster(ranks))
    return made if shares is None else attrs.evolve(made, shares=shares)


def alone(loss=loss, model=language_model, steps=STEPS, micro=BATCH, **options):
    """Losses and norms of one process, in plain torch."""
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9, **options)
    found = []
    for step in range(steps):
        optimizer.zero_grad()
        given = zip(*(part.split(micro) for part in batch(step)), strict=True)
        values = [loss(net, one) for one in given]
        value = sum(one[0] / one[1] if isinstance(one, tuple) else one for one in values)
        value = value / len(values)
        value.backward()
        for parameter in net.parameters():
            if parameter.grad is not None and parameter.grad.is_sparse:  # torch can't clip those
                parameter.grad = parameter.grad.to_dense()
        norm = nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        optimizer.step()
        found.append((float(value.detach()), float(norm)))
    return found


def microbatches(plan, replica, step):
    """Those of a replica in a step: `shares` of the batch, in order."""
    begin = sum(plan.shares[:replica])
    rows = [
        slice((begin + number) * plan.micro, (begin + number + 1) * plan.micro)
        for number in range(plan.shares[replica])
    ]
    return [tuple(part[one] for part in batch(step)) for one in rows]


def applied(rank, plan, model=language_model):
    """The model as a rank holds it; each begins with other weights than rank 0."""
    warnings.filterwarnings("ignore", "FSDP2-wrapped module")
    return KINDS[plan.strategy]().apply(plan, model(seed=rank))


def trained(rank, ranks, plan, loss=loss, model=language_model, steps=STEPS, **options):
    """Losses and norms on a rank."""
    split = applied(rank, plan, model)
    held = [parameter for _, parameter in split.named_parameters()]
    optimizer = torch.optim.SGD(held, lr=0.3, momentum=0.9, foreach=False, **options)
    found = []
    for step in range(steps):
        optimizer.zero_grad()
        sums = split.reduce(split.backward(microbatches(plan, split.replica, step), loss))
        norm = split.clip(0.5)
        optimizer.step()
        found.append((sums.loss / sums.items, norm))
    return found


class Odd(nn.Module):
    """Words that only some batches have, a layer that none uses, and a sparse embedding."""

    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.words = nn.Embedding(WORDS, WIDTH, sparse=True)
        self.seldom, self.unused = nn.Linear(WIDTH, WIDTH), nn.Linear(3, 3)
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, words):
        x = self.words(words)
        return self.head(self.seldom(x) if words[0, 0] % 4 == 0 else x)


def dropped(rank, ranks, plan):
    """With dropout, what tensor-parallel ranks hold alike stays alike to the bit."""
    torch.manual_seed(rank)
    model = applied(rank, plan, lambda seed: language_model(seed, drop=0.3))
    held = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(held.values(), lr=1e-2, foreach=False)
    for step in range(4):
        optimizer.zero_grad()
        model.reduce(model.backward(microbatches(plan, model.replica, step), loss))
        optimizer.step()
    whole = [p.detach() for p in held.values() if not hasattr(p, "placements")]
    return b"".join(parameter.numpy().tobytes() for parameter in whole)


def uneven(rank, ranks, plan):
    """A pipeline gets a microbatch that is smaller, too few, and a loss that it can't use."""
    model = applied(rank, plan)
    good = microbatches(plan, model.replica, 0)
    short = [*good[:-1], tuple(part[:1] for part in good[-1])]
    asks = [
        lambda: model.backward(short, loss),
        lambda: model.backward(good[:1], loss),
        lambda: model.backward(good, lambda net, batch: net(words=batch[0]).sum()),
        lambda: model.backward(good, lambda net, batch: batch[0].sum()),
        lambda: model.backward([], loss),
    ]
    found = [group.told(ask) for ask in asks]
    sums = model.reduce(model.backward(good, loss))
    return found, sums.items


def misfits(rank, ranks, plan):
    """Plans that fit neither the processes nor the model."""
    other = language_model() if rank != ranks - 1 else language_model(blocks=3)
    width = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 4))
    tied = language_model()
    tied[-1].weight = tied[0].weight
    tensors = attrs.evolve(
        plan, strategy="tp", mesh=Mesh(sizes={"tp": ranks}), cut=[3], shares=[4],
        options={"split": {"0": "column", "2": "row"}},
    )  # fmt: skip
    asks = [
        lambda: KINDS["pp"]().apply(
            attrs.evolve(plan, mesh=Mesh(sizes={"pp": 4}), cut=[1, 1, 1, 1]), other
        ),
        lambda: KINDS["pp"]().apply(attrs.evolve(plan, cut=[2, 3]), language_model()),
        lambda: KINDS["pp"]().apply(attrs.evolve(plan, shares=[1]), language_model()),
        lambda: KINDS["pp"]().apply(attrs.evolve(plan, shares=[2, 2]), language_model()),
        lambda: KINDS["pp"]().apply(plan, other),
        lambda: KINDS["pp"]().apply(plan, tied),
        lambda: KINDS["tp"]().apply(tensors, width),
        lambda: KINDS["tp"]().apply(
            attrs.evolve(tensors, options={"split": {"1": "column"}}), width
        ),
        lambda: KINDS["tp"]().apply(plan, language_model()),
        lambda: KINDS["pp"]().apply(plan, torch.nn.functional.relu),
    ]
    return [group.told(ask) for ask in asks]


def mixed(rank, ranks, plan):
    """Adam over plain and divided parameters: what it needs is set, and a wish against it told."""
    model = applied(rank, plan)
    held = [parameter for _, parameter in model.named_parameters()]
    optimizer = torch.optim.AdamW(held, lr=1e-2)
    fit_optimizer(optimizer)
    model.reduce(model.backward(microbatches(plan, model.replica, 0), loss))
    optimizer.step()
    refused = group.told(lambda: fit_optimizer(torch.optim.AdamW(held, lr=1e-2, foreach=True)))
    return [one["foreach"] for one in optimizer.param_groups], refused


def killed(rank, ranks, plan):
    """The last rank ends between two steps."""
    model = applied(rank, plan)
    model.reduce(model.backward(microbatches(plan, model.replica, 0), loss))
    if rank == ranks - 1:
        os._exit(9)
    return group.waited(lambda: model.reduce(model.backward(
        microbatches(plan, model.replica, 1), loss)))  # fmt: skip


def hung(rank, ranks, plan):
    """The last rank does not come to its second step."""
    model = applied(rank, plan)
    model.reduce(model.backward(microbatches(plan, model.replica, 0), loss))
    if rank == ranks - 1:
        return group.HANGS
    return group.waited(lambda: model.reduce(model.backward(
        microbatches(plan, model.replica, 1), loss)))  # fmt: skip


def split_up(rank, ranks, strategy, options):
    """The model split in one call, and a step of it."""
    wished = {"strategy": strategy, "options": options}
    found = split(language_model(seed=rank), loss, batch(0, 2), batch=BATCH, **wished)
    given = microbatches(found.plan, found.replica, 0)
    sums = found.model.reduce(found.model.backward(given, loss))
    plans = [plan.strategy for plan in found.ranking.plans]
    return found.plan, plans, dict(found.whole), sums.loss / sums.items


def split_wrongly(rank, ranks):
    """Strategies, options and batches that are not there or do not fit."""
    asks = [
        {"strategy": "hybird"},
        {"strategy": "hybrid", "options": {"dpp": 2}},
        {"options": {}},
        {"options": {"dp": 2}},
        {"strategy": "pp", "options": {"schedule": "gpipe"}},
        {"strategy": "tp", "options": {"micro": 3}},
        {"strategy": "hybrid", "options": {"dp": 3}},
        {"strategy": "pp", "options": {"dp": 2}},
    ]
    return [
        group.told(lambda ask=ask: split(language_model(), loss, batch(0, 2), batch=BATCH, **ask))
        for ask in asks
    ]


def evaluated(rank, ranks, plan):
    """Dropout is off, nothing has a gradient, and the next step is as if nothing had been."""
    torch.manual_seed(0)
    model = applied(rank, plan, lambda seed: language_model(seed, drop=0.3))
    given = microbatches(plan, model.replica, 0)
    sums = model.evaluate(given, loss)
    untouched = all(one.grad is None for _, one in model.named_parameters())
    training_still = all(module.training for module in model.modules)
    model.backward(given, loss)
    again = model.evaluate(given, loss)
    return sums, again, untouched and training_still


def half_frozen(seed=0):
    """The first layers are not trained, so that a whole stage has no gradient."""
    net = language_model(seed)
    for part in net[:2]:
        part.requires_grad_(requires_grad=False)
    return net


class Again(nn.Module):
    """A recurrent layer, whose outputs lie in memory with gaps."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        return self.gru(x)[0]


class Twice(nn.Module):
    """One weight in two calls."""

    def __init__(self):
        super().__init__()
        self.twice, self.once = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        return self.once(self.twice(torch.tanh(self.twice(x))))


def shared(seed=0):
    """Four layers, two of which use a weight twice."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(WORDS, WIDTH), Twice(), Twice(), nn.Linear(WIDTH, WORDS))


class Recomputed(nn.Module):
    """Computes again in the backward pass, in the way that torch calls reentrant."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        if not x.requires_grad:
            return x + self.inner(x)
        return x + checkpoint(self.inner, x, use_reentrant=True)


def recomputed(seed=0):
    """Four layers."""
    torch.manual_seed(seed)
    between = [Recomputed(), Recomputed()]
    return nn.Sequential(nn.Embedding(WORDS, WIDTH), *between, nn.Linear(WIDTH, WORDS))


def recurrent(seed=0):
    """Four layers."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Embedding(WORDS, WIDTH), Again(), Again(), nn.Linear(WIDTH, WORDS))


def bubbles(rank, ranks, plan):
    """What zero bubble says of layers whose backward pass computes again."""
    split = applied(rank, plan, recomputed)
    given = microbatches(plan, split.replica, 0)
    return group.told(lambda: split.backward(given, loss))


def first_frozen(rank, ranks, plan):
    """What zero bubble says of a first stage without a gradient."""
    return group.told(lambda: applied(rank, plan, half_frozen))
