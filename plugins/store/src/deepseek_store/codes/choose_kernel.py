"""Which kernel works here, proved against numpy before it is used."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from deepseek_core import Finding, errors
from deepseek_store.codes.isal_kernel import IsalKernel
from deepseek_store.codes.kernel import Kernel
from deepseek_store.codes.numpy_kernel import NumpyKernel

# (outputs, inputs, nbytes): odd ends, more than one block, and many inputs
_SHAPES = ((1, 2, 1), (3, 6, 33), (6, 35, 4100), (2, 250, 20001))


def find_kernel(name: str | None = None) -> Kernel:
    """The kernel of that name ("isal", "numpy"), or the fastest that works here.

    Raises:
        ConfigError: No such kernel, or it does not work here.
    """
    if name == "numpy":
        return NumpyKernel()
    if name not in (None, "isal"):
        raise errors.ConfigError(f"no kernel {name!r}", remedy="use 'isal', 'numpy' or None")
    kernel, reason = _isal()
    if kernel is not None:
        return kernel
    if name is None:
        return NumpyKernel()
    raise errors.ConfigError(
        f"the kernel 'isal' does not work here: {reason}",
        remedy="pip install pyeclib, or leave the kernel out to use numpy",
    )


def check_kernel() -> Iterable[Finding]:
    """The kernel that is used where none is asked for, and why: a row of `ds-sdk doctor`."""
    kernel, reason = _isal()
    if kernel is not None:
        return [Finding(status="ok", text=f"parities are computed by {reason}")]
    remedy = "pip install pyeclib"
    return [Finding(status="ok", text=f"parities are computed by numpy: {reason}", remedy=remedy)]


def differs_from_numpy(kernel: Kernel) -> str:
    """What a kernel computes differently from numpy's; empty when nothing."""
    rng = np.random.default_rng(0)
    reference = NumpyKernel()
    for outputs, inputs, nbytes in _SHAPES:
        matrix = rng.integers(0, 256, (outputs, inputs), np.uint8)
        matrix[0] = 1
        rows = [rng.integers(0, 256, nbytes, np.uint8) for _ in range(inputs)]
        rows[-1] = rows[-1][: nbytes // 2]
        if kernel.prepare(matrix)(rows, nbytes) != reference.prepare(matrix)(rows, nbytes):
            return f"other bytes for a matrix [{outputs}, {inputs}] and {nbytes} bytes"
    return ""


@lru_cache(maxsize=1)
def _isal() -> tuple[Kernel | None, str]:
    """ISA-L's kernel if it is there and right, and the reason in words."""
    try:
        kernel = IsalKernel()
    except errors.ConfigError as error:
        return None, error.message
    wrong = differs_from_numpy(kernel)
    if wrong:
        return None, f"{kernel.path} computes {wrong}"
    return kernel, f"ISA-L of {kernel.path}, which gives the same bytes as numpy"
