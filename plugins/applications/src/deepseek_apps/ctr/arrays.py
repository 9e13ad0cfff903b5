"""Files of arrays: whole or not at all when written, checked when read."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deepseek_core import console, errors


def save_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name, whole or not at all.

    Raises:
        WriteError: it can't be written.
    """
    with console.whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def load_arrays(path: Path) -> dict[str, Any]:
    """The arrays of a file, by name.

    Raises:
        ArtifactError: it is missing, damaged, or none.
    """
    try:
        # opened here: numpy would leave the file of a damaged archive open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            return {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise errors.ArtifactError(
            f"{path} can't be read: {error}", remedy="do the step again that wrote it"
        ) from error
