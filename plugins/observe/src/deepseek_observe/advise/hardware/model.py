"""What a model needs: bytes of its states and activations, operations of a step.

States: 16 bytes a parameter with Adam in mixed precision (Rajbhandari et al., arXiv 1910.02054):
2 weights, 2 gradients, 4 + 8 the copy in float32 and both moments. Activations: Korthikanti et al.,
arXiv 2205.05198, equations 1 to 6. Operations: 6 a parameter and token (8 where all is recomputed).
"""

from __future__ import annotations

import math
import re
from typing import Final

import attrs

from deepseek_core import errors

STATE_NBYTES: Final = 16
_SIZE: Final = re.compile(r"(\d{1,6}(?:\.\d{1,6})?)\s*([mbt])", re.IGNORECASE)
_SCALES: Final = {"m": 1e6, "b": 1e9, "t": 1e12}
_VOCABULARY: Final = 51_200


@attrs.frozen(kw_only=True)
class Shape:
    """A decoder of `parameters`: its `layers` of `hidden` width and `heads`, on `sequence` tokens.

    `like` names the published model whose shape this is.
    """

    parameters: float
    layers: int
    hidden: int
    heads: int
    sequence: int
    like: str

    def states_nbytes(self, shards: int) -> float:
        """Weights, gradients and optimizer on one of `shards` devices."""
        return STATE_NBYTES * self.parameters / shards

    def activations_nbytes(self, sequences: int, recompute: str, tensor: int = 1) -> float:
        """Kept until the backward pass, divided by `tensor` devices with sequence parallelism."""
        unit = self.sequence * sequences * self.hidden * self.layers / tensor
        if recompute == "full":
            return 2 * unit
        if recompute == "selective":
            return 34 * unit
        return unit * (34 + 5 * self.heads * self.sequence / self.hidden)

    def working_nbytes(self, sequences: int, tensor: int = 1) -> float:
        """For a moment: two gathered layers, and the logits with their gradient."""
        layer = 2 * 2 * self.parameters / self.layers / tensor
        logits = 6 * self.sequence * sequences * _VOCABULARY / tensor
        return layer + logits

    def needed_nbytes(self, devices: int, per_node: int, recompute: str) -> float:
        """Bytes on each of so many devices, at the best tensor parallelism within a node."""
        found, tensor = [], 1
        while tensor <= min(devices, per_node, self.heads):
            found.append(
                self.states_nbytes(devices)
                + self.activations_nbytes(1, recompute, tensor)
                + self.working_nbytes(1, tensor)
            )
            tensor *= 2
        return min(found)

    def flops(self, tokens: float, recompute: str) -> float:
        """Operations of forward and backward over so many tokens."""
        return (8 if recompute == "full" else 6) * self.parameters * tokens


_SHAPES: Final = (
    Shape(parameters=125e6, layers=12, hidden=768, heads=12, sequence=2048, like="GPT-3 125M"),
    Shape(parameters=350e6, layers=24, hidden=1024, heads=16, sequence=2048, like="GPT-3 350M"),
    Shape(parameters=760e6, layers=24, hidden=1536, heads=16, sequence=2048, like="GPT-3 760M"),
    Shape(parameters=1.3e9, layers=24, hidden=2048, heads=32, sequence=2048, like="GPT-3 1.3B"),
    Shape(parameters=2.7e9, layers=32, hidden=2560, heads=32, sequence=2048, like="GPT-3 2.7B"),
    Shape(parameters=6.7e9, layers=32, hidden=4096, heads=32, sequence=2048, like="GPT-3 6.7B"),
    Shape(parameters=13e9, layers=40, hidden=5120, heads=40, sequence=2048, like="GPT-3 13B"),
    Shape(parameters=22e9, layers=48, hidden=6144, heads=64, sequence=2048, like="Megatron 22B"),
    Shape(parameters=70e9, layers=80, hidden=8192, heads=64, sequence=4096, like="Llama 2 70B"),
    Shape(parameters=175e9, layers=96, hidden=12288, heads=96, sequence=2048, like="GPT-3 175B"),
    Shape(parameters=530e9, layers=105, hidden=20480, heads=128, sequence=2048, like="MT-NLG 530B"),
    Shape(parameters=1e12, layers=128, hidden=25600, heads=160, sequence=2048, like="Megatron 1T"),
)


def shape_of(text: str) -> Shape:
    """`7b` -> a shape of so many parameters, like the nearest published model.

    Raises:
        ConfigError: it is not a size, or one that no model has.
    """
    found = _SIZE.fullmatch(text.strip())
    parameters = float(found[1]) * _SCALES[found[2].lower()] if found else 0.0
    if not 1e6 <= parameters <= 1e14:
        raise errors.ConfigError(
            f"{text!r} is not the size of a model", remedy="write --model 7b, or 350m, or 1.5t"
        )
    near = min(_SHAPES, key=lambda shape: abs(math.log(shape.parameters / parameters)))
    return attrs.evolve(near, parameters=parameters)
