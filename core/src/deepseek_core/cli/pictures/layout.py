"""Which axis of a model's input is what: found from its shape where that is clear."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import attrs

from deepseek_core.cli.pictures.arguments import LAYOUTS
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.contracts.errors import TensorMismatch

if TYPE_CHECKING:
    from deepseek_core.contracts.stage import Array

_COLORS: Final = {1: "gray", 3: "rgb", 4: "rgba"}
_NPZ: Final = "prepare the arrays yourself and pass them in an NPZ file"


@attrs.frozen(kw_only=True)
class PictureInput:
    """What a model's input takes; `batch_axis` is None where none is known to be one."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    batch_axis: int | None

    def __str__(self) -> str:
        return f"input {self.name!r} ({self.dtype} [{', '.join(map(str, self.shape))}])"


@attrs.frozen(kw_only=True)
class Layout:
    """The axes of an input, its channels, and the sizes that it fixes (None: any).

    `axes` is one of `LAYOUTS`; the N, where there is one, is axis 0. `square` inputs have one
    symbol for height and width. `together` inputs hold several pictures, which have to agree
    in size.
    """

    axes: str
    colors: str
    height: int | None
    width: int | None
    square: bool
    together: bool

    @property
    def channels(self) -> int:
        """How many: 1 for gray, 3 or 4."""
        return _count(self.colors)

    def arranged(self, pixels: Array) -> Array:
        """Pixels [H, W, C] in RGB or RGBA order as one picture of this layout, without the N."""
        import numpy as np

        if self.colors.startswith("bgr"):
            pixels = pixels[..., [2, 1, 0, 3][: self.channels]]
        axes = self.axes.removeprefix("N")
        if axes == "HW":
            return np.ascontiguousarray(pixels[..., 0])
        return np.ascontiguousarray(pixels.transpose(["HWC".index(axis) for axis in axes]))


def layout_of(wanted: PictureInput, options: PictureOptions) -> Layout:
    """The layout of an input, as an option gives it or as the shape shows it.

    Raises:
        TensorMismatch: no picture fits the input, an option contradicts it, or the shape leaves
            open what an option has to say.
    """
    axes = _axes(wanted, options.layout)
    dims = dict(zip(axes, wanted.shape, strict=True))
    sides = dims["H"], dims["W"]
    height, width = _size(wanted, sides, options)
    return Layout(
        axes=axes,
        colors=_colors(wanted, dims.get("C", 1), options.channel_order),
        height=height,
        width=width,
        square=_is_square(sides),
        together=dims.get("N", 1) != 1,
    )


def _axes(wanted: PictureInput, chosen: str | None) -> str:
    possible = [axes for axes in LAYOUTS if _is_possible(axes, wanted)]
    if chosen is None:
        clear = [axes for axes in possible if _is_clear(axes, wanted)]
        if len(clear) == 1:
            return clear[0]
    elif chosen in possible:
        return chosen
    if not possible:
        raise TensorMismatch(f"{wanted} does not have the shape of a picture", remedy=_NPZ)
    unclear = "leaves open which axis is which" if chosen is None else f"is no {chosen}"
    remedy = f"add --layout {' or '.join(possible)}"
    raise TensorMismatch(f"{wanted} {unclear}", remedy=remedy)


def _is_possible(axes: str, wanted: PictureInput) -> bool:
    """Whether the shape may be read so: rank, batch axis and number of channels fit."""
    if len(axes) != len(wanted.shape) or 0 in wanted.shape:
        return False
    if wanted.batch_axis is not None and (wanted.batch_axis, axes[0]) != (0, "N"):
        return False
    channels = dict(zip(axes, wanted.shape, strict=True)).get("C", 1)
    return isinstance(channels, str) or channels in _COLORS


def _is_clear(axes: str, wanted: PictureInput) -> bool:
    """Whether the shape must be read so: what may be channels is nothing else."""
    dims = dict(zip(axes, wanted.shape, strict=True))
    large = all(isinstance(dims[axis], str) or dims[axis] not in range(5) for axis in "HW")
    if axes == "NHW":
        return large and wanted.batch_axis == 0
    return large and isinstance(dims.get("C", 1), int)


def _colors(wanted: PictureInput, channels: int | str, chosen: str | None) -> str:
    if isinstance(channels, str):
        if chosen:
            return chosen
        remedy = f"add --channel-order {' or '.join(_COLORS.values())}"
        raise TensorMismatch(f"{wanted} takes any number of channels", remedy=remedy)
    if chosen and channels != _count(chosen):
        raise TensorMismatch(
            f"{wanted} has {channels} channels, --channel-order {chosen} has {_count(chosen)}",
            remedy="leave --channel-order out, or choose another one",
        )
    return chosen or _COLORS[channels]


def _count(colors: str) -> int:
    return 1 if colors == "gray" else len(colors)


def _size(
    wanted: PictureInput, sides: tuple[int | str, int | str], options: PictureOptions
) -> tuple[int | None, int | None]:
    """Height and width that the input or an option fixes."""
    fixed = tuple(side if isinstance(side, int) else None for side in sides)
    if options.size is None:
        if None not in fixed and options.size_multiple > 1:
            what = f"--size-multiple does nothing: {wanted} fixes height and width"
            raise TensorMismatch(what, remedy="leave it out")
        return fixed[0], fixed[1]
    height, width = options.size
    fits = all(side in (None, asked) for side, asked in zip(fixed, options.size, strict=True))
    if not fits or (_is_square(sides) and height != width):
        raise TensorMismatch(
            f"--size {height}x{width} does not fit {wanted}",
            remedy="leave --size out, or give height and width as the input has them",
        )
    return height, width


def _is_square(sides: tuple[int | str, int | str]) -> bool:
    """Whether one symbol stands for both, whatever its value."""
    return isinstance(sides[0], str) and sides[0] == sides[1]
