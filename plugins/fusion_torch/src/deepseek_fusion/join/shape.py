"""Sizes that every join is made with, checked once."""

from __future__ import annotations

import attrs

from deepseek_core import errors


@attrs.frozen(kw_only=True)
class JoinShape:
    """Sizes of a join: `width` of a token, `modalities`, `classes`, heads of a message.

    Raises:
        ConfigError: a size below 1, a width that heads do not divide, a share outside [0, 1).
    """

    width: int
    modalities: int
    classes: int
    heads: int = 4
    dropout: float = 0.1

    def __attrs_post_init__(self) -> None:
        for name in ("width", "modalities", "classes", "heads"):
            if getattr(self, name) < 1:
                raise errors.ConfigError(
                    f"{name} of a join must be 1 or more, got {getattr(self, name)}",
                    remedy=f"give {name} a whole number of 1 or more",
                )
        if self.width % self.heads:
            raise errors.ConfigError(
                f"{self.heads} heads do not divide a width of {self.width}",
                remedy="choose a width that is a multiple of heads",
            )
        if not 0 <= self.dropout < 1:
            raise errors.ConfigError(
                f"dropout must be from 0 to below 1, got {self.dropout}", remedy="give 0.1"
            )
