"""The strategies of this plugin, as core has them; torch is used by `apply` alone."""

from __future__ import annotations

from typing import Any, ClassVar

from deepseek_core import Mesh, Strategy, TensorSpec, errors, training
from deepseek_parallel.planning.search import Wanted
from deepseek_parallel.planning.stack import StackProfile, fastest_of_stack
from deepseek_parallel.strategies.plans import Wish, fastest


class _OfAxes(Strategy):
    """All ranks on one axis, or on several.

    What is given is what a plan must have: sizes of the mesh, samples in a microbatch, chunks of
    layers on a stage, and a schedule of `SCHEDULES`.
    """

    name: ClassVar[str]
    axes: ClassVar[tuple[str, ...]]
    sharded: ClassVar[bool] = False

    def __init__(
        self,
        *,
        dp: int | None = None,
        tp: int | None = None,
        pp: int | None = None,
        micro: int | None = None,
        interleave: int | None = None,
        schedule: str | None = None,
    ) -> None:
        sizes = Wanted(dp=dp, tp=tp, pp=pp, micro=micro, interleave=interleave)
        self.wish = Wish(sizes=sizes, schedule=schedule)

    def mesh(self, num_ranks: int) -> Mesh:
        """All ranks on the one axis."""
        _check_ranks(num_ranks)
        (axis,) = self.axes
        return Mesh(sizes={axis: num_ranks})

    def held_by(self, rank: int, tensor: TensorSpec, mesh: Mesh) -> tuple[slice, ...]:
        """All of it."""
        mesh.coordinates(rank)
        return tuple(slice(0, size) for size in tensor.bound({}))

    def plan(self, profile: training.Profile, cluster: training.Cluster) -> training.TrainingPlan:
        """The fastest plan, with an estimate of a model.

        Raises:
            MeshMismatch: none fits the model and the cluster, by its dimension.
        """
        if isinstance(profile, StackProfile):
            return fastest_of_stack(
                self.name, self.axes, profile, cluster,
                sharded=self.sharded, wanted=self.wish.sizes,
            )  # fmt: skip
        return fastest(self.name, self.axes, profile, cluster, sharded=self.sharded, wish=self.wish)

    def apply(self, plan: training.TrainingPlan, model: Any) -> training.SplitModel:
        """The `nn.Module` as this rank holds it; what was given is taken apart for it.

        Raises:
            ConfigError: torch is not installed, or there is no process group.
            MeshMismatch: the plan fits neither the processes nor the model, by its dimension.
            RankLost: another rank does not answer.
        """
        from deepseek_parallel.strategies.applying import apply

        if plan.strategy != self.name:
            raise errors.InputError(
                f"the plan is of the strategy {plan.strategy!r}, and this is {self.name!r}",
                remedy=f"open that one: training.open_strategy({plan.strategy!r})",
            )
        return apply(plan, model, sharded=self.sharded)


class Replicas(_OfAxes):
    """Each rank has the whole model and its own part of the batch."""

    name = "ddp"
    axes = ("dp",)


class Shards(_OfAxes):
    """Replicas that keep a part of each parameter each, and gather it when it is used."""

    name = "fsdp"
    axes = ("dp",)
    sharded = True

    def held_by(self, rank: int, tensor: TensorSpec, mesh: Mesh) -> tuple[slice, ...]:
        """A block of rows, as torch's `chunk` cuts them; the last ranks may have fewer or none."""
        return _block(tensor, mesh.coordinates(rank)["dp"], mesh.sizes["dp"])


class Tensors(_OfAxes):
    """Each rank has a part of the layers that can be divided, and works on all samples."""

    name = "tp"
    axes = ("tp",)

    def held_by(self, rank: int, tensor: TensorSpec, mesh: Mesh) -> tuple[slice, ...]:
        """A block of rows, as of a layer that is divided by columns."""
        return _block(tensor, mesh.coordinates(rank)["tp"], mesh.sizes["tp"])


class Stages(_OfAxes):
    """Each rank has a row of the layers; microbatches go from one to the next."""

    name = "pp"
    axes = ("pp",)


class Hybrid(_OfAxes):
    """Any mesh of replicas, tensors and stages."""

    name = "hybrid"
    axes = ("pp", "dp", "tp")

    def mesh(self, num_ranks: int) -> Mesh:
        """Two ranks for tensors and two for stages where they divide, the others for replicas."""
        _check_ranks(num_ranks)
        tp = 2 if num_ranks % 2 == 0 else 1
        pp = 2 if num_ranks // tp % 2 == 0 else 1
        return Mesh(sizes={"pp": pp, "dp": num_ranks // tp // pp, "tp": tp})

    def held_by(self, rank: int, tensor: TensorSpec, mesh: Mesh) -> tuple[slice, ...]:
        """A block of rows, as of a layer that is divided by columns."""
        return _block(tensor, mesh.coordinates(rank)["tp"], mesh.sizes["tp"])


def _check_ranks(num_ranks: int) -> None:
    if num_ranks < 1:
        raise errors.InputError(f"a mesh of {num_ranks} ranks", remedy="use 1 or more")


def _block(tensor: TensorSpec, place: int, ranks: int) -> tuple[slice, ...]:
    """Rows of one of so many ranks: equal blocks, rounded up; a scalar is whole."""
    first, *others = (slice(0, size) for size in tensor.bound({})) if tensor.shape else (None,)
    if first is None:
        return ()
    rows = -(-first.stop // ranks)
    begin, end = min(place * rows, first.stop), min((place + 1) * rows, first.stop)
    return slice(begin, end), *others
