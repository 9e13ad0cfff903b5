"""From the values of a picture to those of the model's input: range, mean/std, dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from deepseek_core.cli.pictures.layout import Layout, PictureInput
from deepseek_core.cli.pictures.option_values import Normalization, Range
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.contracts.errors import ConfigError, TensorMismatch

if TYPE_CHECKING:
    from deepseek_core.contracts.stage import Array

BYTE: Final = Range(0, 255)

_RANGES: Final = {
    "uint8": BYTE,
    "float16": Range(0, 1),
    "float32": Range(0, 1),
    "float64": Range(0, 1),
}
_INTEGERS: Final = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
_EXACT: Final = 2.0**53  # beyond it, float64 skips integers


@attrs.frozen(kw_only=True)
class Scaling:
    """What black and full intensity become, then what is subtracted and divided.

    `mean` and `std` are in the order red, green, blue, alpha, or one number for all; empty: none.
    """

    dtype: str
    range: Range
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    @property
    def is_float(self) -> bool:
        """Whether the input takes floats; for others values are rounded."""
        return self.dtype not in _INTEGERS

    def applied(self, pixels: Array, source: Range) -> Array:
        """Pixels [H, W, C] with values in `source`, as the model takes them."""
        import numpy as np

        if source == self.range and not self.mean and pixels.dtype.kind in "ui":
            return pixels.astype(self.dtype)
        values = pixels.astype(np.result_type(np.float32, self.dtype))
        if source != self.range:
            values -= source.low
            values /= source.width / self.range.width
            values += self.range.low
        if self.mean:
            values -= np.asarray(self.mean, values.dtype)
            values /= np.asarray(self.std, values.dtype)
        return (values if self.is_float else np.rint(values)).astype(self.dtype, copy=False)


def scaling_of(wanted: PictureInput, layout: Layout, options: PictureOptions) -> Scaling:
    """How pixel values become those of the input.

    Raises:
        TensorMismatch: the input takes no numbers of pixels, or which is not clear, or a range
            or normalization does not fit it.
        ConfigError: the mean lies outside the range.
    """
    limits = _limits(wanted)
    span = options.range or _RANGES.get(wanted.dtype)
    if span is None:
        raise TensorMismatch(
            f"{wanted} takes integers, and which ones stand for black and white is not known",
            remedy=f"add the range that the model expects, such as --range {_example(limits)}",
        )
    if span.low < limits.low or span.high > limits.high:
        raise TensorMismatch(f"--range {span} does not fit {wanted}", remedy=f"stay in {limits}")
    scaling = Scaling(dtype=wanted.dtype, range=span)
    if options.normalize is None:
        return scaling
    return _normalized(scaling, layout, options.normalize)


def _limits(wanted: PictureInput) -> Range:
    """The numbers that the input's type holds."""
    import numpy as np

    if wanted.dtype in _INTEGERS:
        whole = np.iinfo(wanted.dtype)
        return Range(max(float(whole.min), -_EXACT), min(float(whole.max), _EXACT))
    if wanted.dtype in _RANGES:
        largest = float(np.finfo(wanted.dtype).max)
        return Range(-largest, largest)
    raise TensorMismatch(
        f"{wanted} takes {wanted.dtype}, which pictures are not converted to",
        remedy="prepare the arrays yourself and pass them in an NPZ file",
    )


def _example(limits: Range) -> str:
    """8-bit pixel values as they are, where they fit."""
    return f"{BYTE} (pixel values as they are)" if limits.high >= BYTE.high else str(limits)


def _normalized(scaling: Scaling, layout: Layout, normalize: Normalization) -> Scaling:
    _check_normalization(scaling, layout, normalize)
    return attrs.evolve(
        scaling,
        mean=_red_first(normalize.mean, layout, normalize),
        std=_red_first(normalize.std, layout, normalize),
    )


def _check_normalization(scaling: Scaling, layout: Layout, normalize: Normalization) -> None:
    if not scaling.is_float:
        raise TensorMismatch(
            f"--normalize gives fractions, the input takes {scaling.dtype}",
            remedy="leave --normalize out; --range gives whole numbers",
        )
    if len(normalize.mean) not in (1, layout.channels):
        raise TensorMismatch(
            f"--normalize {normalize} is for {len(normalize.mean)} channels, the input has "
            f"{layout.channels}",
            remedy="give one number, or one for each channel: --normalize MEAN/STD",
        )
    if min(normalize.mean) < scaling.range.low or max(normalize.mean) > scaling.range.high:
        raise ConfigError(
            f"the mean of --normalize {normalize} lies outside the range {scaling.range}",
            remedy="add the range that it was computed for, for example --range 0..255",
        )


def _red_first(
    numbers: tuple[float, ...], layout: Layout, normalize: Normalization
) -> tuple[float, ...]:
    """Numbers given in the order of the model's channels, in that of the pixels."""
    if normalize.name or len(numbers) == 1 or not layout.colors.startswith("bgr"):
        return numbers
    return numbers[2::-1] + numbers[3:]
