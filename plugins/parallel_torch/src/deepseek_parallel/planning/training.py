"""How a model is to be trained, whatever the mesh; and what the planner assumes."""

from __future__ import annotations

from typing import Final

import attrs

from deepseek_core import errors
from deepseek_parallel.planning import checks

RECOMPUTE: Final = ("none", "selective", "full")
_NBYTES: Final = {"bf16": 2, "fp16": 2, "fp32": 4}
DTYPES: Final = tuple(_NBYTES)
_MOST_BATCH: Final = 2**20


@attrs.frozen(kw_only=True)
class Training:
    """`batch` sequences a step; `compress` is the share of gradients that is exchanged, or None.

    `sharded` replicas keep a part each of weights, gradients and what the optimizer has (FSDP).

    Recompute "selective" computes attention's scores again in the backward pass, "full" all layers.

    Raises:
        InputError: a batch below 1, a word that is none of those known, a share outside of (0, 1].
    """

    batch: int
    recompute: str = "selective"
    sequence_parallel: bool = False
    dtype: str = "bf16"
    compress: float | None = None
    sharded: bool = False

    def __attrs_post_init__(self) -> None:
        checks.counted(self.batch, "batch", _MOST_BATCH)
        checks.one_of(self.recompute, RECOMPUTE, "recompute")
        checks.one_of(self.dtype, DTYPES, "dtype")
        if self.compress is not None and checks.above_zero(self.compress, "compress") > 1:
            raise errors.InputError(
                f"compress is {self.compress}", remedy="give a share of 1 or less, as 0.01"
            )

    @property
    def element_nbytes(self) -> int:
        """Bytes of an element of an activation or a weight."""
        return _NBYTES[self.dtype]

    @property
    def gradient_nbytes(self) -> int:
        """Bytes of an element of a gradient, summed and exchanged in float32 as Megatron does."""
        return 4

    @property
    def optimizer_nbytes(self) -> int:
        """Bytes a parameter: Adam's two moments, and a float32 copy of weights of two bytes."""
        return 8 + (4 if self.element_nbytes == 2 else 0)


@attrs.frozen(kw_only=True)
class Assumed:
    """What is not in a data sheet: one set of constants for all models and clusters.

    `matmul` of the peak is reached by wide products, half of it by those `half_width` wide (hidden
    over tp): both chosen on the four full-recompute times of arXiv 2205.05198, Table 5, not on its
    other times. `memory` and `link` are the usual share of a copy and of NCCL's all-reduce inside
    of a node (230 of 300 GB/s on A100), `network` that of Calculon's description of the same
    machine (Isaev et al., SC 2023). `usable` of a GPU's memory may be planned for.
    `optimizer_traffic_nbytes` a parameter: gradients cleared, checked, measured and clipped (24),
    Adam's pass (28), the copy back to the weights (6).
    """

    matmul: float = 0.83
    half_width: float = 140.0
    memory: float = 0.85
    link: float = 0.77
    network: float = 0.9
    usable: float = 0.95
    optimizer_traffic_nbytes: float = 58.0

    def matmul_share(self, width: float) -> float:
        """Share of the peak that products of this width reach."""
        return self.matmul * width / (width + self.half_width)


ASSUMED: Final = Assumed()
