"""Arithmetic of training: float32, or bfloat16 where the CPU multiplies it in hardware."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from deepseek_compress.train.options import Precision
from deepseek_core import errors


def resolved(wanted: Precision) -> tuple[Precision, str]:
    """`fp32` or `bf16`, and a sentence that says why; "" where it was asked for."""
    if wanted != "auto":
        return wanted, ""
    if _multiplies_bf16():
        return "bf16", "precision bf16: this CPU multiplies it in hardware"
    return "fp32", "precision fp32: this CPU has no bf16 instructions"


def _multiplies_bf16() -> bool:
    tests = (
        getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile")
    )
    return any(test() for test in tests if test is not None)


def check_dtype(model: Any) -> None:
    """Refuse to train weights that an update of usual size would not change.

    Raises:
        InputError: some are of 16 bits or fewer.
    """
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.dtype not in (torch.float32, torch.float64):
            raise errors.InputError(
                f"{name} is {str(parameter.dtype)[6:]}, too coarse to be trained",
                remedy='give the model as model.float(); precision = "bf16" computes in 16 bits',
            )


@contextmanager
def computing(precision: str, device: Any) -> Iterator[None]:
    """Run matrix products of the block in that precision; weights stay float32."""
    if precision == "fp32":
        yield
        return
    with torch.autocast(device.type, dtype=torch.bfloat16):
        yield
