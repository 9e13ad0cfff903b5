"""All meshes of a cluster, ranked by the seconds of a step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import attrs

from deepseek_parallel.errors import MeshMismatch
from deepseek_parallel.planning.estimate import Estimate, Problem, estimate
from deepseek_parallel.planning.grid import ORDERS
from deepseek_parallel.planning.mesh import SIZES_ALONE, Mesh, Refused, refusal


@attrs.frozen(kw_only=True)
class Wanted:
    """What a mesh must have; None leaves a dimension to the search."""

    dp: int | None = None
    tp: int | None = None
    pp: int | None = None
    micro: int | None = None
    interleave: int | None = None

    def takes(self, name: str, value: int) -> bool:
        """Whether a dimension may have this value."""
        wanted = getattr(self, name)
        return wanted is None or wanted == value


@attrs.frozen(kw_only=True)
class Plans:
    """Meshes that fit, the fastest first, and those that do not."""

    fitting: tuple[Estimate, ...]
    refused: tuple[Refused, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many were refused by each dimension."""
        return dict(sorted(Counter(one.dimension for one in self.refused).items()))

    @property
    def nearest(self) -> Refused | None:
        """The one that lacks the least memory."""
        lacking = [one for one in self.refused if one.dimension == "memory"]
        return min(lacking, key=lambda one: one.lacking_nbytes, default=None)


def search(problem: Problem, wanted: Wanted | None = None) -> Plans:
    """Try every mesh of all GPUs that has what is wanted.

    Raises:
        MeshMismatch: what is wanted leaves no mesh at all, whatever the memory.
    """
    wanted = wanted or Wanted()
    fitting: list[Estimate] = []
    refused: list[Refused] = []
    closed: set[tuple[int, int, int]] = set()
    for mesh in _meshes(problem, wanted):
        sizes = mesh.dp, mesh.tp, mesh.pp
        if sizes in closed:
            continue
        bad = refusal(mesh, problem.model, problem.cluster, problem.training)
        if bad is not None:
            refused.append(bad)
            if bad.dimension in SIZES_ALONE:
                closed.add(sizes)
            continue
        orders = ORDERS if mesh.dp > 1 and mesh.pp > 1 else ORDERS[:1]
        found = [estimate(problem, mesh, order) for order in orders]
        good = [one for one in found if isinstance(one, Estimate)]
        fitting.extend(good)
        if not good:
            lacking = [one for one in found if isinstance(one, Refused)]
            refused.append(min(lacking, key=lambda one: one.lacking_nbytes))
    if not fitting and not any(one.dimension == "memory" for one in refused):
        raise _mismatch(problem, wanted, refused)
    fitting.sort(key=lambda one: (one.seconds.total, one.mesh, one.order))
    return Plans(fitting=tuple(fitting), refused=tuple(refused))


def _mismatch(problem: Problem, wanted: Wanted, refused: list[Refused]) -> MeshMismatch:
    world = problem.cluster.world
    if not refused:
        sizes = {name: getattr(wanted, name) for name in ("dp", "tp", "pp")}
        given = {name: size for name, size in sizes.items() if size is not None}
        name = next((name for name, size in given.items() if world % size), "world")
        listed = " x ".join(f"{name} {size}" for name, size in given.items())
        return MeshMismatch(
            f"{listed} does not divide the cluster's {world} GPUs",
            dimension=name,
            remedy="give dp, tp and pp whose product is the number of GPUs, or leave one out",
        )
    first = refused[0]
    return MeshMismatch(
        f"the mesh does not fit: {first.why}", dimension=first.dimension, remedy=first.remedy
    )


def _meshes(problem: Problem, wanted: Wanted) -> Iterator[Mesh]:
    """All of as many ranks as there are GPUs; three sizes that are wanted, whatever they make."""
    micros = [wanted.micro] if wanted.micro else divisors(problem.training.batch)
    for dp, tp, pp in _sizes(problem.cluster.world, wanted):
        for micro in micros:
            for interleave in _interleaves(problem.model.layers, pp, wanted):
                yield Mesh(dp=dp, tp=tp, pp=pp, micro=micro, interleave=interleave)


def _sizes(world: int, wanted: Wanted) -> Iterator[tuple[int, int, int]]:
    if wanted.dp and wanted.tp and wanted.pp:
        yield wanted.dp, wanted.tp, wanted.pp
        return
    for tp in divisors(world):
        for pp in divisors(world // tp):
            dp = world // tp // pp
            if all(map(wanted.takes, ("dp", "tp", "pp"), (dp, tp, pp))):
                yield dp, tp, pp


def _interleaves(layers: int, pp: int, wanted: Wanted) -> list[int]:
    if wanted.interleave:
        return [wanted.interleave]
    if pp == 1 or layers % pp:
        return [1]
    return divisors(layers // pp)


def divisors(number: int) -> list[int]:
    """All divisors of a number, the smallest first."""
    small = [i for i in range(1, int(number**0.5) + 1) if number % i == 0]
    return sorted({*small, *(number // i for i in small)})
