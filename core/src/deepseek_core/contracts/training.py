"""A training as strategies plan it: the model's layers, and what a plan says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from deepseek_core.contracts.cluster import check_figure, check_whole
from deepseek_core.contracts.errors import InputError
from deepseek_core.contracts.mesh import Mesh

_MOST_BATCH: Final = 2**20


def _frozen_row(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Layer:
    """One layer of a model; its figures are of one sample, forward and backward together.

    `output_nbytes` goes to the next layer, `kept_nbytes` stay until the backward pass. `split`
    maps parts that tensor-parallel ranks may divide to how: "column", "row" or "vocabulary". Those
    take `split_share` of the operations and hold `split_parameters`, and ranks that divide them add
    up `summed_nbytes`. `widths` are the sizes that a number of such ranks must divide.
    """

    name: str
    flops: float
    parameters: int
    output_nbytes: float
    kept_nbytes: float = 0.0
    split: Mapping[str, str] = attrs.field(factory=dict)
    split_share: float = 0.0
    split_parameters: int = 0
    summed_nbytes: float = 0.0
    widths: tuple[int, ...] = attrs.field(default=(), converter=_frozen_row)

    def __attrs_post_init__(self) -> None:
        of = f"of the layer {self.name!r}"
        for name in ("flops", "parameters", "output_nbytes", "kept_nbytes", "summed_nbytes"):
            check_figure(getattr(self, name), f"{name} {of}")
        if not 0 <= self.split_share <= 1 or not 0 <= self.split_parameters <= self.parameters:
            raise InputError(
                f"the layer {self.name!r} divides {self.split_share} of its operations and "
                f"{self.split_parameters} of its {self.parameters} parameters",
                remedy="give a share from 0 to 1, and no more parameters than it has",
            )


@attrs.frozen(kw_only=True)
class Profile:
    """A model as a row of layers, and the `batch`: samples of a step, on all ranks together.

    `optimizer_nbytes` a parameter are kept beside it and its gradient: 8 for Adam's moments.

    Raises:
        InputError: no layer, or a figure that can't be.
    """

    layers: tuple[Layer, ...] = attrs.field(converter=_frozen_row)
    batch: int
    dtype: str = "fp32"
    element_nbytes: int = 4
    optimizer_nbytes: float = 8.0

    def __attrs_post_init__(self) -> None:
        if not self.layers:
            raise InputError("the model has no layer", remedy="give one layer or more")
        check_whole(self.batch, "batch", _MOST_BATCH)
        check_whole(self.element_nbytes, "element_nbytes")
        check_figure(self.optimizer_nbytes, "optimizer_nbytes")

    @property
    def parameters(self) -> int:
        """Parameters of all layers."""
        return sum(layer.parameters for layer in self.layers)


@attrs.frozen(kw_only=True)
class TrainingPlan:
    """How a strategy would train a model on a cluster, and an estimate of it.

    `cut` are layers by stage, in the order of the model; `shares` are microbatches of `micro`
    samples by replica. A step takes `step_s` and puts `wire_nbytes` on the network; a rank needs
    `memory_nbytes` at most. `options` is what else `apply` needs, as plain data. `evidence` is
    "model", or "measured".
    """

    strategy: str
    mesh: Mesh
    cut: tuple[int, ...] = attrs.field(converter=_frozen_row)
    shares: tuple[int, ...] = attrs.field(converter=_frozen_row)
    micro: int
    step_s: float
    memory_nbytes: float
    wire_nbytes: float
    evidence: str = "model"
    options: Mapping[str, Any] = attrs.field(factory=dict)
