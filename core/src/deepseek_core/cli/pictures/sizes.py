"""Where a picture's pixels go: resize rules as arithmetic on sizes (height x width)."""

from __future__ import annotations

import attrs

from deepseek_core.cli.pictures.layout import Layout
from deepseek_core.cli.pictures.option_values import MOST_PIXELS, Size
from deepseek_core.cli.pictures.options import PictureOptions
from deepseek_core.contracts.errors import ArtifactError


@attrs.frozen(kw_only=True)
class Fit:
    """How one picture is resized.

    `box` (left, upper, right, lower; in source pixels, fractions allowed) becomes `size`, which
    is put at `corner` (top, left) of a canvas of `canvas` pixels.
    """

    box: tuple[float, float, float, float]
    size: Size
    corner: Size
    canvas: Size

    @property
    def padded(self) -> bool:
        """Whether some of the canvas stays visible."""
        return self.size != self.canvas

    def keeps(self, own: Size) -> bool:
        """Whether pixels stay as they are."""
        return self.size == own and self.box == (0, 0, own[1], own[0])


@attrs.frozen
class _Target:
    """The size to reach; `scale` is set where it is not the target that decides on it."""

    size: Size
    scale: float | None = None


def fit(own: Size, layout: Layout, options: PictureOptions) -> Fit:
    """How a picture of this size becomes one that the model takes.

    Raises:
        ArtifactError: the rule refuses this size, or the result would be too large.
    """
    target = _target(own, layout, options)
    _check(own, target.size, layout, options)
    if options.resize == "crop":
        return _cropped(own, target, options.crop_fraction)
    if options.resize.startswith("pad"):
        return _padded(own, target, centered=options.resize == "pad")
    box = (0, 0, own[1], own[0])
    return Fit(box=box, size=target.size, corner=(0, 0), canvas=target.size)


def shown_size(size: Size) -> str:
    """`(480, 640)` -> `480x640`."""
    return f"{size[0]}x{size[1]}"


def _target(own: Size, layout: Layout, options: PictureOptions) -> _Target:
    """What the input fixes; a side that it leaves open follows the picture."""
    height, width = layout.height, layout.width
    if height is not None and width is not None:
        return _Target((height, width))
    scale = _scale(own, layout) if options.resize != "none" else 1.0
    tall, wide = (_rounded(side * scale, options) for side in own)
    return _Target((height or tall, width or wide), scale)


def _scale(own: Size, layout: Layout) -> float:
    """Scale of the one side that is fixed, or 1."""
    if layout.height is not None:
        return layout.height / own[0]
    return 1.0 if layout.width is None else layout.width / own[1]


def _rounded(side: float, options: PictureOptions) -> int:
    """The multiple that `--size-multiple` asks for, at least one."""
    multiple = options.size_multiple
    whole = max(1, round(side))
    if options.resize == "crop":
        return max(whole // multiple, 1) * multiple
    if options.resize.startswith("pad"):
        return -(-whole // multiple) * multiple
    return max(1, (whole + multiple // 2) // multiple) * multiple


def _check(own: Size, target: Size, layout: Layout, options: PictureOptions) -> None:
    if options.resize == "none" and own != target:
        raise ArtifactError(
            f"is {shown_size(own)}, the model takes {shown_size(target)}",
            remedy="choose a rule: --resize stretch, crop or pad",
        )
    if layout.square and target[0] != target[1]:
        raise ArtifactError(
            f"would be {shown_size(target)}, the model takes squares only", remedy="add --size HxW"
        )
    if target[0] * target[1] > MOST_PIXELS:
        raise ArtifactError(
            f"would become {shown_size(target)}, more than {MOST_PIXELS:,} pixels",
            remedy="add --size HxW",
        )


def _cropped(own: Size, target: _Target, fraction: float) -> Fit:
    """The center of a picture whose resized sides cover the target.

    Sizes and offsets are those of torchvision's Resize and CenterCrop; only what is kept is
    computed, since the rest of a very long picture would not fit in memory.
    """
    tall, wide = _covering(own, target, fraction)
    height, width = target.size
    top, left = round((tall - height) / 2), round((wide - width) / 2)
    down, across = own[0] / tall, own[1] / wide  # source pixels in one resized pixel
    right, lower = min((left + width) * across, own[1]), min((top + height) * down, own[0])
    box = (left * across, top * down, right, lower)
    return Fit(box=box, size=target.size, corner=(0, 0), canvas=target.size)


def _covering(own: Size, target: _Target, fraction: float) -> Size:
    height, width = own
    tall, wide = (int(side / fraction) for side in target.size)
    if target.scale is not None:
        scale = target.scale / fraction
        return max(round(height * scale), tall), max(round(width * scale), wide)
    if height * wide <= width * tall:
        return tall, width * tall // height
    return height * wide // width, wide


def _padded(own: Size, target: _Target, *, centered: bool) -> Fit:
    """The whole picture on a canvas, as large as it fits."""
    height, width = target.size
    scale = target.scale or min(height / own[0], width / own[1])
    size = min(max(round(own[0] * scale), 1), height), min(max(round(own[1] * scale), 1), width)
    corner = ((height - size[0]) // 2, (width - size[1]) // 2) if centered else (0, 0)
    return Fit(box=(0, 0, own[1], own[0]), size=size, corner=corner, canvas=target.size)
