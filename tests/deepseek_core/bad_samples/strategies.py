"""A sound strategy over two axes, and the others; it fits a line by plain Python."""

import itertools
import os
import time
from multiprocessing.connection import Client, Listener

import attrs

from deepseek_core import Mesh, Strategy, errors, training
from deepseek_core.testing import TrainingCase

TURN = itertools.count()


class Sound(Strategy):
    """Rows over `tp` (two ranks where the number is even), copies over `dp`."""

    @property
    def name(self):
        """As its record has it: `takes_none` for `TakesNone`."""
        letters = (f"_{one.lower()}" if one.isupper() else one for one in type(self).__name__)
        return "".join(letters).removeprefix("_")

    def mesh(self, num_ranks):
        if num_ranks < 1:
            raise errors.InputError(f"no mesh for {num_ranks} ranks")
        tp = 2 if num_ranks % 2 == 0 else 1
        return Mesh(sizes={"dp": num_ranks // tp, "tp": tp})

    def held_by(self, rank, tensor, mesh):
        place, parts = mesh.coordinates(rank)["tp"], mesh.sizes["tp"]
        if not tensor.shape:
            return ()
        rows, *others = tensor.shape
        first = slice(rows * place // parts, rows * (place + 1) // parts)
        return (first, *(slice(0, size) for size in others))

    def plan(self, profile, cluster):
        mesh = Sound.mesh(self, cluster.world)
        replicas = mesh.sizes["dp"]
        if profile.batch % replicas:
            raise errors.InputError(f"{replicas} do not divide the batch")
        return training.TrainingPlan(
            strategy=self.name, mesh=mesh, cut=[len(profile.layers)], shares=[1] * replicas,
            micro=profile.batch // replicas, step_s=1.0, memory_nbytes=8.0, wire_nbytes=16.0,
        )  # fmt: skip

    def apply(self, plan, model):
        return Line(plan, model)


class Number:
    """A parameter."""

    def __init__(self, value):
        self.value, self.grad = value, 0.0


class Line(training.SplitModel):
    """y = slope * x on each rank, tp ranks alike; rank 0 adds up what the others send."""

    def __init__(self, plan, model):
        self.ranks, self.rank = plan.mesh.num_ranks, int(os.environ["RANK"])
        self.copies, self.slope, self.others = plan.mesh.sizes["tp"], model, []

    def named_parameters(self):
        return [("slope", self.slope)]

    def backward(self, microbatches, loss):
        items = [item for batch in microbatches for item in batch]
        self.slope.grad = sum(2 * (self.slope.value * x - y) * x for x, y in items)
        return training.Sums(sum(loss(self.slope, item) for item in items), len(items))

    def evaluate(self, microbatches, loss):
        items = [item for batch in microbatches for item in batch]
        return training.Sums(sum(loss(self.slope, item) for item in items), len(items))

    def reduce(self, sums):
        mine = self.slope.grad / self.copies, sums.loss / self.copies, sums.items / self.copies
        gradient, loss, items = self.added(mine)
        self.slope.grad = gradient / items
        return training.Sums(loss, items)

    def clip(self, max_norm):
        return abs(self.slope.grad)

    def added(self, mine):
        where = "127.0.0.1", int(os.environ["MASTER_PORT"])
        if not self.others:  # once: rank 0 has all of them, the others have rank 0
            if self.rank:
                self.others = [_called(where)]
            else:
                with Listener(where) as here:
                    self.others = [here.accept() for _ in range(self.ranks - 1)]
        if self.rank:
            self.others[0].send(mine)
            return self.others[0].recv()
        told = [mine, *(one.recv() for one in self.others)]
        total = [sum(parts) for parts in zip(*told, strict=True)]
        for one in self.others:
            one.send(total)
        return total


def _called(where):
    until_s = time.monotonic() + 20
    while True:
        try:
            return Client(where)
        except ConnectionRefusedError:
            assert time.monotonic() < until_s, "rank 0 does not listen"
            time.sleep(0.01)


def samples(step, begin, end):
    return [((x + step) / 8, (x + step) / 4) for x in range(begin, end)]


def squared(slope, item):
    return (slope.value * item[0] - item[1]) ** 2


def update(named):
    for _, number in named:
        number.value -= 0.05 * number.grad


def plain(steps):
    slope, found = Number(0.5), []
    for step in range(steps):
        items = samples(step, 0, 8)
        found.append(sum(squared(slope, item) for item in items) / 8)
        slope.grad = sum(2 * (slope.value * x - y) * x for x, y in items) / 8
        update([("slope", slope)])
    return found


def case():
    layer = training.Layer(name="line", flops=4, parameters=1, output_nbytes=8)
    return TrainingCase(
        profile=training.Profile(layers=[layer], batch=8), model=Number(0.5), start=lambda: None,
        batch=samples, loss=squared, update=update, plain=plain,
    )  # fmt: skip


class TakesNone(Sound):
    def mesh(self, num_ranks):
        raise errors.InputError("no number will do")


class LosesARank(Sound):
    def mesh(self, num_ranks):
        sizes = super().mesh(num_ranks).sizes
        return Mesh(sizes={**sizes, "dp": max(1, sizes["dp"] - 1)})


class AddsAnAxis(Sound):
    def mesh(self, num_ranks):
        return Mesh(sizes={**super().mesh(num_ranks).sizes, "pp": 1})


class Overlaps(Sound):
    def held_by(self, rank, tensor, mesh):
        first, *others = super().held_by(rank, tensor, mesh) or (slice(0, 0),)
        if not tensor.shape:
            return ()
        return (slice(max(0, first.start - 1), first.stop), *others)


class LeavesBoundsOpen(Sound):
    def held_by(self, rank, tensor, mesh):
        first, *others = super().held_by(rank, tensor, mesh) or (slice(0, 0),)
        return (first, *(slice(None) for _ in others)) if tensor.shape else ()


class ChangesItsMind(Sound):
    def __init__(self):
        self.turn = next(TURN)

    def mesh(self, num_ranks):
        mesh = super().mesh(num_ranks)
        return Mesh(sizes={"dp": num_ranks, "tp": 1}) if self.turn % 2 else mesh


class WantsEvenNumbers(Sound):
    def mesh(self, num_ranks):
        if num_ranks % 2:
            raise errors.InputError(f"{num_ranks} ranks are no pairs")
        return super().mesh(num_ranks)


class DividesByZero(Sound):
    def mesh(self, num_ranks):
        assert 8 // num_ranks is not None
        return super().mesh(num_ranks)


class GoesByItsRank(Sound):
    def mesh(self, num_ranks):
        mesh = super().mesh(num_ranks)
        is_first = os.environ.get("RANK", "0") == "0"
        return mesh if is_first else Mesh(sizes={"dp": num_ranks, "tp": 1})


class ShiftsAfterEachQuestion(Sound):
    asked = 0

    def mesh(self, num_ranks):
        self.asked += 1
        mesh = super().mesh(num_ranks)
        return Mesh(sizes={"dp": num_ranks, "tp": 1}) if self.asked > 12 else mesh


class CountsFromTheEnd(Sound):
    def held_by(self, rank, tensor, mesh):
        return super().held_by(rank % mesh.num_ranks, tensor, mesh)


class ForgetsALayer(Sound):
    def plan(self, profile, cluster):
        plan = super().plan(profile, cluster)
        return attrs.evolve(plan, cut=[max(1, len(profile.layers) - 1)])


class AveragesAverages(Sound):
    def apply(self, plan, model):
        return MeanOfMeans(plan, model)


class MeanOfMeans(Line):
    """Each rank divides by its own count, and the sum is not divided again."""

    def reduce(self, sums):
        total = super().reduce(sums)
        self.slope.grad *= self.ranks / self.copies
        return total
