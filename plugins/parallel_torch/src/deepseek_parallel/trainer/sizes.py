"""Whether so many ranks can make a mesh; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from deepseek_core import errors
from deepseek_parallel.errors import MeshMismatch

PLAIN: Final = "ddp"
"""The strategy that divides nothing."""
_AXES: Final = ("dp", "tp", "pp")


def check_elastic(strategy: str) -> None:
    """Refuse a strategy whose ranks can't be lost.

    Raises:
        ConfigError: it is one.
    """
    if strategy != PLAIN:
        raise errors.ConfigError(
            f"the strategy {strategy} divides the model over the ranks, so none of them may be "
            "lost or join",
            remedy="start them by --nproc N or torchrun, or use the strategy ddp",
        )


def check_sizes(options: Mapping[str, Any], size: int) -> None:
    """Refuse sizes of a mesh, of which some may be left open, that do not fit so many ranks.

    Raises:
        MeshMismatch: they do not.
    """
    given = {axis: options[axis] for axis in _AXES if type(options.get(axis)) is int}
    needed = 1
    for axis_size in given.values():
        needed *= max(1, axis_size)
    is_whole = len(given) == len(_AXES)
    if size % needed or (is_whole and size != needed):
        listed = " x ".join(f"{axis} {axis_size}" for axis, axis_size in given.items())
        raise MeshMismatch(
            f"{listed} {'are' if is_whole else 'need a multiple of'} {needed} ranks, and there "
            f"{'is one' if size == 1 else f'are {size}'}",
            dimension="world",
            remedy=f"start {needed}: --nproc {needed}, or torchrun --nproc-per-node {needed}",
        )
