"""Loads weights that the authors of ResNeSt released, where a user has the file.

Nothing is downloaded. The names are those of https://github.com/zhanghang1989/ResNeSt.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch

from deepseek_core import errors
from deepseek_fusion.encoders.resnest import ResNeSt

_SHOWN: Final = 3


def load_released(network: ResNeSt, path: str | Path) -> None:
    """Load a released state dict; every name and shape must fit before anything is changed.

    The release's classifier is left out where the network has none; a projection to tokens
    is not of the release, and stays as it is. Only tensors are read: a file can run no code.

    Raises:
        ArtifactError: no such file, or no file of tensors.
        InputError: names or shapes are not those of this network; says which.
    """
    released = _tensors(Path(path))
    wanted = {
        name: tensor
        for name, tensor in network.state_dict().items()
        if not name.startswith("project.")
    }
    if not network.config.classes:
        released = {n: t for n, t in released.items() if not n.startswith("fc.")}
    _check(wanted, released, Path(path))
    network.load_state_dict(released, strict=False)


def _tensors(path: Path) -> dict[str, Any]:
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise errors.ArtifactError(f"{path} can't be read: {error.strerror or error}") from error
    except Exception as error:  # torch's own, pickle's and zip's
        raise errors.ArtifactError(
            f"{path} is not a file of tensors: {_first_line(error)}",
            remedy="give the .pth file of the release; files with code in them are not read",
        ) from error
    found = found.get("state_dict", found) if isinstance(found, Mapping) else None
    if not found or not all(isinstance(value, torch.Tensor) for value in found.values()):
        raise errors.ArtifactError(
            f"{path} holds no state dict: names with tensors", remedy="save `model.state_dict()`"
        )
    return {name.removeprefix("module."): tensor for name, tensor in found.items()}


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _check(wanted: Mapping[str, Any], released: Mapping[str, Any], path: Path) -> None:
    both = wanted.keys() & released.keys()
    wrong = [
        f"{name} {list(released[name].shape)} for {list(wanted[name].shape)}"
        for name in sorted(both)
        if released[name].shape != wanted[name].shape
    ]
    found = (
        ("lacks", sorted(wanted.keys() - both)),
        ("has besides", sorted(released.keys() - both)),
        ("has of another shape", wrong),
    )
    told = [f"{word} {_some(names)}" for word, names in found if names]
    if told:
        raise errors.InputError(
            f"{path} is not of this network: it {'; it '.join(told)}",
            remedy="make the network by the name of the file: ResNeStConfig.named('resnest50')",
        )


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
