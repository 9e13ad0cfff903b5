"""The sizes of a translation model, as they lie beside its weights."""

from __future__ import annotations

import attrs

from deepseek_core import errors


@attrs.frozen(kw_only=True)
class Shape:
    """Sizes of a Transformer; `positions` is the longest text in tokens that it can take."""

    vocabulary: int
    width: int = 128
    inner: int = 512
    heads: int = 4
    encoder_layers: int = 3
    decoder_layers: int = 3
    positions: int = 512

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if value < 1:
                raise errors.ConfigError(f"{name} is {value}", remedy="give 1 or more")
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise errors.ConfigError(
                f"a width of {self.width} in {self.heads} heads has no even width of a head",
                remedy=f"give a width that is a multiple of {2 * self.heads}",
            )
