"""Models, batches and plans of the tests of strategies, and what each rank does with them."""

from __future__ import annotations

import os
import time
import warnings

import attrs
import rank_processes as group
import torch
from torch import nn
from torch.nn import functional

from deepseek_core import training
from deepseek_parallel.planning.search import Wanted
from deepseek_parallel.strategies.plans import Wish
from deepseek_parallel.strategies.profiling import profile
from deepseek_parallel.strategies.strategy import Hybrid, Replicas, Shards, Stages, Tensors

STEPS, BATCH, WORDS, WIDTH = 20, 16, 41, 16
CALM_S = 50.0  # of a process group whose ranks share two cores
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
    schedule = wished.pop("schedule", None)
    strategy = KINDS[name](Wish(sizes=Wanted(**wished), schedule=schedule))
    found = profile(model, loss, batch(0, 2), batch=size).profile
    made = strategy.plan(found, cluster(ranks))
    return made if shares is None else attrs.evolve(made, shares=shares)


def alone(loss=loss, model=language_model, steps=STEPS, **options):
    """Losses and norms of one process, in plain torch."""
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.3, momentum=0.9, **options)
    found = []
    for step in range(steps):
        optimizer.zero_grad()
        value = loss(net, batch(step))
        value = value[0] / value[1] if isinstance(value, tuple) else value
        value.backward()
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
