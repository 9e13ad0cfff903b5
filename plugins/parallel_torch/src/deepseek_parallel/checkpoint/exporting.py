"""The whole of a checkpoint in one process, and its model as a file of safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from deepseek_core import console, errors
from deepseek_parallel.checkpoint import tree
from deepseek_parallel.checkpoint.fitting import Fitted
from deepseek_parallel.checkpoint.listing import Found
from deepseek_parallel.checkpoint.loading import Part
from deepseek_parallel.checkpoint.place import Place


def whole_part(place: Place, found: Found, part: str) -> tuple[dict[str, torch.Tensor], Any]:
    """All tensors of a part by name, and the state that they stand in.

    Raises:
        CheckpointDamaged: a file is missing or has other bytes.
    """
    inside = place.below(found.folder) if found.folder else place
    opened = Part(inside.url_of(part), found.manifest.of_part(part), inside.read_verified)
    fitted = Fitted(opened.new)
    state = fitted.whole(opened.skeleton)
    opened.prepare(fitted.targets)
    opened.copy(fitted.targets)
    return fitted.targets, state


def export_safetensors(place: Place, found: Found, path: Path) -> tuple[int, list[str]]:
    """Write the model as a file of safetensors; how many tensors, and values that have no place.

    Raises:
        ConfigError: the library is not installed.
        CheckpointDamaged: a file is missing or has other bytes.
        WriteError: it can't be written.
    """
    try:
        from safetensors.torch import save_file
    except ImportError as error:
        raise errors.ConfigError(
            "safetensors isn't installed",
            remedy=console.install_command("deepseek-parallel", extra="safetensors"),
        ) from error
    tensors, state = whole_part(place, found, "model")
    left = sorted(_values(state))
    told = {"format": "pt", "step": str(found.manifest.step), "checkpoint": found.manifest.name}
    with console.whole_file(path) as partial:
        save_file({name: t.contiguous() for name, t in tensors.items()}, partial, metadata=told)
    return len(tensors), left


def _values(state: Any, path: str = "") -> list[str]:
    """The names of what is not a tensor."""
    if isinstance(state, torch.Tensor):
        return []
    if isinstance(state, Mapping):
        return [n for key, one in state.items() for n in _values(one, tree.joined(path, key))]
    return [path]
