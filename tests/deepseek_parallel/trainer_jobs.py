"""Trainings that run on each rank of a process group, and alone; see `test_trainer`."""

import math
import os
import time

import torch
from rank_processes import bits, told, waited
from torch import nn
from torch.nn import functional
from torch.utils.data import TensorDataset

from deepseek_core import DeepSeekError
from deepseek_parallel import CompressedSGD
from deepseek_parallel.trainer.evaluation import Evaluation
from deepseek_parallel.trainer.trainer import Trainer


def data(length=60, seed=1):
    """Pictures of 13 features and their classes."""
    x = torch.randn(length, 13, generator=torch.Generator().manual_seed(seed))
    return TensorDataset(x, (x.sum(1) > 0).long() + (x[:, 0] > 1).long())


def plain(seed=0):
    """A small network."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(13, 31), nn.Tanh(), nn.Linear(31, 3))


def noisy(seed=0):
    """One with running statistics and dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(13, 31), nn.BatchNorm1d(31), nn.ReLU(), nn.Dropout(0.3), nn.Linear(31, 3)
    )


def mean(model, batch):
    """Mean over the items."""
    return functional.cross_entropy(model(batch[0]), batch[1])


def weighted(model, batch):
    """Class 0 is padding, and class 2 counts thrice: (sum, count)."""
    weight = torch.tensor([0.0, 1.0, 3.0])
    total = functional.cross_entropy(model(batch[0]), batch[1], weight, reduction="sum")
    return total, weight[batch[1]].sum()


def sgd(model, lr=0.1):
    """With momentum."""
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def trained(rank, ranks, make=plain, loss=mean, steps=8, **options):
    """Weights, losses and buffers; each rank begins with weights of its own, but rank 0's win."""
    torch.set_num_threads(1)
    model = make(seed=rank)
    trainer = Trainer(model, sgd(model), loss, data(), **{"batch": 10, "microbatch": 3, **options})
    report = trainer.fit(steps=steps)
    weights = [p.detach().numpy().copy() for p in model.parameters()]
    return weights, report.losses, [b.numpy().copy() for b in model.buffers()]


class Constant(nn.Module):
    """A model whose gradient is the same for each sample."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(64))

    def forward(self, x):
        """[B, 13] to [B]."""
        return (self.weight * torch.linspace(0.5, 1.5, 64)).sum() + 0 * x.sum(1)


def constant_step(rank, ranks):
    """What 40 compressed steps of a constant gradient came to, with uneven shares."""
    model = Constant()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loss = lambda m, batch: m(batch[0]).mean()  # noqa: E731
    Trainer(
        model, optimizer, loss, data(), batch=10, microbatch=3, compress=1.0
    ).fit(steps=40)  # fmt: skip
    return model.weight.detach().numpy()


def compressed(rank, ranks):
    """Bits and losses with 5 % of the gradient, and what was saved."""
    model = noisy(seed=rank)
    rates = lambda o: torch.optim.lr_scheduler.StepLR(o, 10, 0.5)  # noqa: E731
    report = Trainer(
        model, sgd(model), mean, data(), batch=24, microbatch=4, compress=0.05, scheduler=rates
    ).fit(steps=30)
    return bits(model), report.losses, report.saved, report.wire_nbytes


def spoiled_loss(model, batch):
    """NaN where a class is 2 and the first feature is large."""
    bad = ((batch[1] == 2) & (batch[0][:, 0] > 1.9)).any()
    return mean(model, batch) * (math.nan if bad else 1.0)


def steep(model, batch):
    """A finite loss whose gradient is infinite."""
    return mean(model, batch) + 0 * torch.sqrt(model[0].weight.sum() * 0)


def failing(rank, ranks, loss):
    """The error, and whether weights, optimizer and position stayed as before the step."""
    model = noisy()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    before = []

    def watch(event):
        if event.kind == "step":
            before[:] = [bits(model), [b.clone() for b in model.buffers()]]

    trainer = Trainer(model, optimizer, loss, data(), batch=12, microbatch=2, callbacks=watch)
    error = told(lambda: trainer.fit(epochs=5))
    same = not before or (
        bits(model) == before[0]
        and all(torch.equal(a, b) for a, b in zip(model.buffers(), before[1], strict=True))
    )
    return error, same


def raising(rank, ranks):
    """The user's code of rank 1 raises at step 2."""
    model, calls = plain(), []

    def loss(model, batch):
        calls.append(1)
        if rank == 1 and len(calls) == 3:
            raise KeyError("label")
        return mean(model, batch)

    start_s = time.monotonic()
    try:
        Trainer(model, sgd(model), loss, data(), batch=ranks).fit(steps=5)
    except (DeepSeekError, KeyError) as error:
        return type(error).__name__, str(error), time.monotonic() - start_s
    return None


def evaluated(rank, ranks):
    """Metrics of 50 samples, which no number of ranks divides."""
    model = noisy()
    right = lambda m, batch: (m(batch[0]).argmax(1) == batch[1]).float().mean()  # noqa: E731
    wanted = Evaluation(data=data(50, seed=9), every=2, metrics={"right": right}, batch=7)
    report = Trainer(
        model, sgd(model), mean, data(), batch=10, microbatch=5, evaluate=wanted
    ).fit(steps=5)  # fmt: skip
    return report.evaluations


def other_settings(rank, ranks):
    """Rank 1 has another batch."""
    model = plain()
    trainer = Trainer(model, sgd(model), mean, data(), batch=10 + rank)
    return told(lambda: trainer.fit(steps=1))


def rare(rank, ranks):
    """A branch that only some samples take, one parameter that none takes, tied and frozen ones."""

    class Rare(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn.Linear(13, 13), nn.Linear(13, 13)
            self.second.weight = self.first.weight
            self.frozen = nn.Linear(13, 13).requires_grad_(requires_grad=False)
            self.branch, self.last = nn.Linear(13, 3), nn.Linear(13, 3)
            self.unused = nn.Linear(2, 2)

        def forward(self, x):
            x = torch.tanh(self.second(torch.tanh(self.first(self.frozen(x)))))
            return {"logits": self.branch(x) if x[0, 0] > 0 else self.last(x)}

    model = Rare()
    unused = model.unused.weight.clone()
    frozen = model.frozen.weight.clone()
    loss = lambda m, b: functional.cross_entropy(m(b[0])["logits"], b[1])  # noqa: E731
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.5)
    report = Trainer(model, optimizer, loss, data(), batch=7, microbatch=2).fit(steps=9)
    assert torch.equal(unused, model.unused.weight)  # no gradient anywhere: no decay either
    assert torch.equal(frozen, model.frozen.weight)
    return [p.detach().numpy().copy() for p in model.parameters()], report.losses


def resumed(rank, ranks, url, stop, until, options):
    """Bits after `until` steps, of which those up to `stop` were of another process if not 0."""
    model = noisy(seed=rank)
    adam = torch.optim.AdamW(model.parameters(), lr=0.01)
    optimizer = sgd(model) if options.get("compress") else adam
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=20)
    trainer = Trainer(
        model, optimizer, mean, data(), batch=10, microbatch=3, scheduler=rates, checkpoint=url,
        **options,
    )  # fmt: skip
    report = trainer.fit(steps=stop or until, resume=not stop)
    return bits(model), report.losses, report.resumed, [b.numpy() for b in model.buffers()]


def two_speeds(rank, ranks, microbatch=1):
    """Rank 1 takes thrice as long for a sample, on a clock that only computing moves."""
    model, now, counts = plain(), [0.0], []

    def loss(model, batch):
        now[0] += (3.0 if rank == 1 else 1.0) * len(batch[0])
        return mean(model, batch)

    trainer = Trainer(
        model, sgd(model), loss, data(), batch=48, microbatch=microbatch, balance=True,
        clock=lambda: now[0], callbacks=lambda event: counts.append(event.figures),
    )  # fmt: skip
    report = trainer.fit(steps=8)
    return [f["imbalance"] for f in counts if "loss" in f], bits(model), report.losses


def evaluated_badly(rank, ranks):
    """The metric of rank 1 raises."""

    def right(model, batch):
        if rank == 1:
            raise IndexError("no such class")
        return mean(model, batch)

    model = plain()
    wanted = Evaluation(data=data(20), every=1, metrics={"right": right}, batch=5)
    trainer = Trainer(model, sgd(model), mean, data(), batch=10, evaluate=wanted)
    try:
        trainer.fit(steps=3)
    except (DeepSeekError, IndexError) as error:
        return type(error).__name__, str(error)
    return None


def given_compressed(rank, ranks):
    """The user's own CompressedSGD, as its docstring has it."""
    model = plain(seed=rank)
    optimizer = CompressedSGD(model.parameters(), lr=0.2, ratio=0.1)
    report = Trainer(model, optimizer, mean, data(), batch=20, microbatch=3).fit(steps=30)
    return bits(model), report.losses, report.saved


def deep(seed=0):
    """Four layers with weights, of which two make a pair that can be divided."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(13, 12), nn.Tanh(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh(),
        nn.Linear(12, 3),
    )  # fmt: skip


def in_views(seed=0):
    """Four layers, three of which give a view."""
    torch.manual_seed(seed)
    blocks = [
        nn.Sequential(nn.Linear(wide, 12), nn.Tanh(), nn.Unflatten(1, (3, 4)), nn.Flatten())
        for wide in (13, 12, 12)
    ]
    return nn.Sequential(*blocks, nn.Linear(12, 3))


def in_place(seed=0, drop=0.0):
    """What layers give is changed in place."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(13, 12), nn.ReLU(inplace=True), nn.Linear(12, 8), nn.SiLU(inplace=True),
        nn.Dropout(drop), nn.Linear(8, 3),
    )  # fmt: skip


class Waves(nn.Module):
    """Weights that are complex numbers."""

    def __init__(self):
        super().__init__()
        self.into, self.out = nn.Linear(13, 8), nn.Linear(8, 3)
        self.weight = nn.Parameter(torch.randn(8, 8, dtype=torch.complex64) / 3)

    def forward(self, x):
        return self.out((self.into(x).to(torch.complex64) @ self.weight).abs())


def waves(seed=0):
    torch.manual_seed(seed)
    return Waves()


def on_mesh(
    rank, ranks, strategy, options, url=None, resume=False, steps=8, epochs=None, make=deep,
    loss=mean, **more
):  # fmt: skip
    """The report of a training on a mesh, and the events that were told."""
    model, events = make(seed=rank), []
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=20)
    given = {"batch": 16, "microbatch": 4, "clip": 0.2, **more}
    trainer = Trainer(
        model, optimizer, loss, data(), scheduler=rates, strategy=strategy, options=options,
        checkpoint=url, callbacks=events.append,
        evaluate=Evaluation(data=data(50, seed=9), every=4, metrics={"again": weighted}), **given,
    )  # fmt: skip
    length = {"epochs": epochs} if epochs else {"steps": steps}
    report = trainer.fit(**length, resume=resume)
    return report, [event.figures.get("gradient_norm") for event in events if event.kind == "step"]


class Shrinks(torch.utils.data.Dataset):
    """Sixty samples, of which five are left once its length was asked for so often."""

    def __init__(self, asked):
        self.asked, self.whole = asked, data()

    def __len__(self):
        self.asked -= 1
        return 60 if self.asked > 0 else 5

    def __getitem__(self, number):
        return self.whole[number]


class Steep(nn.Module):
    """Its output is finite, and its gradient is not."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(12))

    def forward(self, x):
        return x + 0 * torch.sqrt(self.weight.sum())


def steep_inside(seed=0):
    """Steep in the last stage of two."""
    net = deep(seed)
    return nn.Sequential(*net[:6], Steep(), net[6])


def faults(rank, ranks, strategy):
    """What goes wrong on a mesh, one after the other on the same ranks."""
    rarely = 1 << 30

    def fitted(make=deep, loss=mean, asked=rarely, evaluated=rarely, **more):
        model = make()
        trainer = Trainer(
            model, sgd(model), loss, Shrinks(asked if rank == 1 else rarely),
            **{"batch": 16, "microbatch": 4, "strategy": strategy, **more},
            evaluate=Evaluation(data=Shrinks(evaluated if rank == 1 else rarely), every=1),
        )  # fmt: skip
        return told(lambda: trainer.fit(steps=3))

    return [
        fitted(asked=12),
        fitted(evaluated=9),
        fitted(loss=lambda m, b: mean(m, b) * math.nan),
        fitted(make=steep_inside),
        fitted(loss=lambda m, b: mean(m, b) + mean(m, b)),
        fitted(strategy="hybrid", options={"tp": 3}),
        fitted(make=lambda: nn.Sequential(nn.Linear(13, 3))),
        fitted(),
    ]


class Torn(nn.Module):
    """Raises once it is told to, in training or in evaluation."""

    def __init__(self):
        super().__init__()
        self.raises_in = ()

    def forward(self, x):
        if self.training in self.raises_in:
            raise ValueError("a picture is torn")
        return x


def torn(rank, ranks, strategy, options, in_training):
    """The model raises on rank 1, inside a pass in which the others wait for it."""
    net, layer = deep(), Torn()
    model = nn.Sequential(*net[:2], layer, *net[2:])

    def watch(event):
        if event.kind == "step" and event.step == 2 and rank == 1:
            layer.raises_in = (in_training,)

    trainer = Trainer(
        model, sgd(model), mean, data(), batch=16, microbatch=4, strategy=strategy,
        options=options, evaluate=Evaluation(data=data(), every=2), callbacks=[watch],
    )  # fmt: skip
    own, found = [], None
    try:
        found = waited(lambda: trainer.fit(steps=9))
    except ValueError as error:
        own = [type(error).__name__, str(error)]
    return own, found, told(lambda: trainer.fit(steps=9))


def lost(rank, ranks, strategy):
    """Rank 1 is killed after the second step."""

    def see(event):
        if rank == 1 and event.kind == "step" and event.step == 2:
            os._exit(9)

    model = deep()
    trainer = Trainer(model, sgd(model), mean, data(), batch=16, strategy=strategy, callbacks=see)
    return waited(lambda: trainer.fit(steps=9))


def stopped_and_on(rank, ranks):
    """Rank 1 asks for a stop; a second fit goes on with what is divided already."""
    model = deep()
    stop = lambda event: trainer.stop() if rank == 1 and event.step == 2 else None  # noqa: E731
    trainer = Trainer(
        model, sgd(model), mean, data(), batch=16, strategy="pp", callbacks=stop
    )  # fmt: skip
    first, second = trainer.fit(steps=6), trainer.fit(steps=6)
    free = sum(bool(param.isnan().all()) for param in model.parameters())
    return first.steps, [*first.losses, *second.losses], free


def statistics(rank, ranks):
    """Running statistics of what this rank holds after a step, and the loss evaluated with them."""
    model = noisy()
    trainer = Trainer(
        model, sgd(model, lr=0.0), mean, data(), batch=12, microbatch=4, strategy="pp",
        options={"schedule": "1f1b", "layers": [*"01234"]}, evaluate=data(20),
    )  # fmt: skip
    report = trainer.fit(steps=1)
    held = {name: value.numpy().copy() for name, value in model.named_buffers()}
    return report.evaluations[-1][1]["loss"], held
