"""The precision that forward passes are computed in."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import torch

from deepseek_core import errors

_KINDS: Final = ("fp32", "bf16")


class Precision:
    """float32 as it is, or bfloat16 by torch's autocast; parameters stay as they are."""

    def __init__(self, kind: str, device: torch.device) -> None:
        if kind not in _KINDS:
            raise errors.ConfigError(
                f"precision is {kind!r}",
                remedy='give "fp32" or "bf16"; fp16 needs a scaler, which ranks could not share',
            )
        self.kind, self.device = kind, device

    def context(self) -> AbstractContextManager[Any]:
        """What forward passes run in."""
        if self.kind == "fp32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)  # type: ignore[no-any-return]
