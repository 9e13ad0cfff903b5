"""Parallel strategies: how a plugin splits a model over ranks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import attrs

from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.units import as_names, check_locator, check_name

if TYPE_CHECKING:  # a plugin that offers a strategy loads none of them
    from deepseek_core.contracts.cluster import Cluster
    from deepseek_core.contracts.mesh import Mesh
    from deepseek_core.contracts.tensor import TensorSpec
    from deepseek_core.contracts.training import Profile, TrainingPlan


@attrs.frozen(kw_only=True)
class StrategySpec:
    """A way to train over a mesh with these axes; `factory`: a callable `() -> Strategy`.

    `elastic` says that it takes any number of ranks, so that some may join or leave.
    `probe`, where there is one, names a function `() -> None` that raises a `DeepSeekError`
    when this can't be used here.
    """

    name: str = attrs.field(validator=check_name)
    axes: tuple[str, ...] = attrs.field(converter=as_names)
    factory: str = attrs.field(validator=check_locator)
    probe: str | None = attrs.field(default=None, validator=check_locator)
    summary: str = ""
    elastic: bool = False
    requires: tuple[str, ...] = attrs.field(default=(), converter=as_names)
    priority: int = 0


Slices = tuple[slice, ...]
"""One slice with plain bounds for each dimension of a tensor."""


Loss = Callable[[Any, Any], Any]
"""`loss(model, batch)`: the mean over the items of a batch, or (sum, count); it calls the model
once."""


class Sums(NamedTuple):
    """Loss summed over items, and how many these are."""

    loss: float
    items: float


class SplitModel(ABC):
    """A model as this rank holds it, with the ranks that it shares it with; what a trainer steps.

    A step: `backward` over the microbatches of this rank's replica, `reduce` over all replicas,
    and the user's optimizer over `named_parameters`.
    """

    @abstractmethod
    def backward(self, microbatches: Sequence[Any], loss: Loss) -> Sums:
        """Leave the gradient of the SUM of losses in `.grad`; equal batches on a replica's ranks.

        The sums are those of this rank's replica, known to all of its ranks.

        Raises:
            InputError: the microbatches do not fit this strategy.
        """

    @abstractmethod
    def reduce(self, sums: Sums) -> Sums:
        """Make `.grad` the gradient of the mean over all items of all replicas; their sums."""

    @abstractmethod
    def evaluate(self, microbatches: Sequence[Any], loss: Loss) -> Sums:
        """The sums of this rank's replica without a gradient, the model as in use.

        Raises:
            InputError: the microbatches do not fit this strategy.
        """

    @abstractmethod
    def named_parameters(self) -> Iterable[tuple[str, Any]]:
        """What this rank holds, under the names that the whole model has for it."""

    @abstractmethod
    def clip(self, max_norm: float) -> float:
        """Scale the gradient to this norm at most; its norm before, over all parts of the model."""


class Strategy(ABC):
    """Decides the mesh and which part of each tensor a rank holds; pure but for `apply`.

    `plan` and `apply` are for one that also trains; both or neither.
    """

    @abstractmethod
    def mesh(self, num_ranks: int) -> Mesh:
        """The mesh for so many ranks.

        Raises:
            InputError: this strategy can't use that number.
        """

    @abstractmethod
    def held_by(self, rank: int, tensor: TensorSpec, mesh: Mesh) -> Slices:
        """The part of a parameter that a rank holds; in a pipeline, of one of its own stage.

        Over all ranks the parts cover every element, and each element equally often.

        Raises:
            InputError: no such rank in the mesh.
        """

    def plan(self, profile: Profile, cluster: Cluster) -> TrainingPlan:
        """The fastest way that this strategy has for a model on all ranks of a cluster; pure.

        Raises:
            InputError: it has none; says which size does not fit.
        """
        raise InputError(f"{type(self).__name__} makes no plans", remedy=_OTHERS)

    def apply(self, plan: TrainingPlan, model: Any) -> SplitModel:
        """The model as this process holds it; called on all ranks of the plan at once.

        All ranks begin with the parameters of rank 0.

        Raises:
            InputError: the plan does not fit the processes or the model.
        """
        raise InputError(f"{type(self).__name__} splits no models", remedy=_OTHERS)


_OTHERS = "use a strategy that plans: ds-sdk list-plugins --kind strategy"
