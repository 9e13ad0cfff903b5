"""Sounds from WAV files, as numbers from -1 to 1."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from deepseek_core import errors

_TYPES: Final = {1: "u1", 2: "<i2", 4: "<i4"}


def read_sound(path: Path, rate: int, longest: int) -> npt.NDArray[np.float32]:
    """Read a WAV file of whole numbers, its channels averaged, its first `longest` samples.

    Raises:
        InputError: it is missing, damaged, empty, of another rate, or not of whole numbers.
    """
    try:
        with wave.open(str(path), "rb") as file:
            found_rate, nbytes, channels = (
                file.getframerate(), file.getsampwidth(), file.getnchannels()
            )  # fmt: skip
            _check(path, found_rate, rate, nbytes)
            frames = file.readframes(longest)
    except (OSError, EOFError, wave.Error) as error:
        told = getattr(error, "strerror", None) or str(error) or "it ends too early"
        raise errors.InputError(
            f"{path} can't be read: {told}", remedy="save it as WAV with whole numbers (PCM)"
        ) from error
    whole = len(frames) // (nbytes * channels) * nbytes * channels
    if not whole:
        raise errors.InputError(
            f"{path} has no samples", remedy="leave its cell empty: the sound is missing then"
        )
    samples = _numbers(frames[:whole], nbytes).reshape(-1, channels)
    return np.asarray(samples.mean(1, dtype=np.float32), np.float32)


def _check(path: Path, found_rate: int, rate: int, nbytes: int) -> None:
    if found_rate != rate:
        raise errors.InputError(
            f"{path} has {found_rate} samples a second, the job takes {rate}",
            remedy=f"--set rate={found_rate}, or convert all to one rate",
        )
    if nbytes not in (1, 2, 3, 4):
        raise errors.InputError(
            f"{path} has samples of {8 * nbytes} bits", remedy="save it with 16 bits"
        )


def _numbers(frames: bytes, nbytes: int) -> npt.NDArray[np.float32]:
    if nbytes == 3:
        raw = np.frombuffer(frames, np.uint8).reshape(-1, 3)
        wide = np.zeros((len(raw), 4), np.uint8)
        wide[:, 1:] = raw
        return np.asarray(wide.view("<i4")[:, 0] / 2.0**31, np.float32)
    values = np.frombuffer(frames, np.dtype(_TYPES[nbytes]))
    if nbytes == 1:  # eight bits have no sign
        return np.asarray((values - 128.0) / 128.0, np.float32)
    return np.asarray(values / 2.0 ** (8 * nbytes - 1), np.float32)
