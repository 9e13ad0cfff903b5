"""Checkpoints of training: plain tensors behind a hash, whole in the file or not there.

The file is `MAGIC`, the sha256 of the rest in hex, a newline, and what `torch.save` writes. It is
read with `weights_only`, so no code in it can run.
"""

from __future__ import annotations

import contextlib
import io
import os
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch

from deepseek_core import errors

MAGIC: Final = b"deepseek-training-1 "
_DIGEST: Final = 64  # hex digits


def write_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a state of tensors, numbers, texts, lists and mappings; all of it or nothing.

    Raises:
        WriteError: no space or no permission; the checkpoint before it is untouched.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(MAGIC + sha256(content).hexdigest().encode() + b"\n" + content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise errors.WriteError(
            f"{path} can't be written: {error.strerror or error}",
            remedy="free space there, or choose another place",
        ) from error
    finally:
        with contextlib.suppress(OSError):  # there is none, or not even a folder for it
            partial.unlink()


def read_checkpoint(path: Path) -> dict[str, Any] | None:
    """The state; None where there is no such file.

    Raises:
        ArtifactError: it is damaged, or no checkpoint.
    """
    try:
        whole = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise errors.ArtifactError(f"{path} can't be read: {error}", remedy="delete it") from error
    start = len(MAGIC) + _DIGEST + 1
    head, content = whole[:start], whole[start:]
    if head != MAGIC + sha256(content).hexdigest().encode() + b"\n":
        raise errors.ArtifactError(
            f"{path} is damaged", remedy="delete it: training starts again then"
        )
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        raise errors.ArtifactError(
            f"{path} holds more than tensors and numbers: {error}", remedy="delete it"
        ) from error
    return state
