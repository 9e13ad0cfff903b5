"""A sound strategy over two axes, and the others."""

import itertools
import os

from deepseek_core import Mesh, Strategy, errors

TURN = itertools.count()


class Sound(Strategy):
    """Rows over `tp` (two ranks where the number is even), copies over `dp`."""

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
