"""A transformer as the planner sees it."""

from __future__ import annotations

from typing import Final

import attrs

from deepseek_core import errors
from deepseek_parallel.planning import checks

_MOST_LAYERS: Final = 10_000


@attrs.frozen(kw_only=True)
class Transformer:
    """A stack of equal layers with an MLP of four times `hidden`, as GPT has.

    `sequence` is in tokens. The embedding of the `vocabulary` is also the output layer.

    Raises:
        InputError: a dimension that is not a whole number of 1 or more, or heads that do not divide
            `hidden`.
    """

    hidden: int
    layers: int
    heads: int
    sequence: int
    vocabulary: int

    def __attrs_post_init__(self) -> None:
        for field in attrs.fields(Transformer):
            most = _MOST_LAYERS if field.name == "layers" else 2**31
            checks.counted(getattr(self, field.name), f"the model's {field.name}", most)
        if self.hidden % self.heads:
            raise errors.InputError(
                f"the model's {self.heads} heads do not divide its hidden width {self.hidden}",
                remedy="give heads that divide hidden",
            )

    @property
    def layer_parameters(self) -> int:
        """Weights, biases and norms of one layer."""
        return 12 * self.hidden**2 + 13 * self.hidden

    @property
    def parameters(self) -> int:
        """All of them; the output layer shares those of the embedding."""
        embedded = (self.vocabulary + self.sequence) * self.hidden
        return self.layers * self.layer_parameters + embedded + 2 * self.hidden

    def embedding_parameters(self, tp: int) -> int:
        """Parameters on one of `tp` ranks; the vocabulary is padded to a multiple of them."""
        return -(-self.vocabulary // tp) * self.hidden


MODELS: Final = {
    "22b": Transformer(hidden=6144, layers=48, heads=64, sequence=2048, vocabulary=51200),
    "175b": Transformer(hidden=12288, layers=96, heads=96, sequence=2048, vocabulary=51200),
    "530b": Transformer(hidden=20480, layers=105, heads=128, sequence=2048, vocabulary=51200),
    "1t": Transformer(hidden=25600, layers=128, heads=160, sequence=2048, vocabulary=51200),
}
"""The four models of Korthikanti et al., arXiv 2205.05198, Table 3."""
