"""Sounds from files, as numbers from -1 to 1."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deepseek_core import errors


def read_sound(path: Path, rate: int, longest: int) -> npt.NDArray[np.float32]:
    """Read a sound, its channels averaged, its first `longest` samples.

    WAV of any width, whole numbers or floats, and what else libsndfile reads: FLAC, OGG, MP3, AIFF.

    Raises:
        InputError: it is missing, damaged, empty, of another rate, or has samples that are not
            finite; or soundfile is not installed.
    """
    soundfile = _soundfile()
    if not path.is_file():  # a pipe would keep us waiting
        raise errors.InputError(f"{path} is not a file", remedy="check the path in the table")
    try:
        with soundfile.SoundFile(path) as file:
            _check_rate(path, file.samplerate, rate)
            samples = file.read(longest, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise errors.InputError(
            f"{path} can't be read: {getattr(error, 'error_string', error)}",
            remedy="save it as WAV of 16 bits",
        ) from error
    if not len(samples):
        raise errors.InputError(
            f"{path} has no samples", remedy="leave its cell empty: the sound is missing then"
        )
    if not np.isfinite(samples).all():
        raise errors.InputError(
            f"{path} has samples that are no finite numbers", remedy="save it as WAV of 16 bits"
        )
    return np.asarray(samples.mean(1, dtype=np.float32))


def _soundfile() -> Any:
    try:
        import soundfile
    except (ImportError, OSError) as error:  # OSError: there is no libsndfile
        raise errors.InputError(
            f"reading sounds needs soundfile, which can't be imported: {error}",
            remedy="pip install soundfile",
        ) from error
    return soundfile


def _check_rate(path: Path, found: int, rate: int) -> None:
    if found != rate:
        raise errors.InputError(
            f"{path} has {found} samples a second, the job takes {rate}",
            remedy=f"--set rate={found}, or convert all to one rate",
        )
