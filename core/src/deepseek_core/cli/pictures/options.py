"""Options of a folder of pictures: how pixels become the model's input."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import Any, Final

import attrs

from deepseek_core.cli.pictures.option_values import (
    Color,
    Normalization,
    Range,
    Size,
    parse_color,
    parse_count,
    parse_fraction,
    parse_normalization,
    parse_range,
    parse_size,
)
from deepseek_core.contracts.errors import ConfigError

RESIZE_RULES: Final = ("stretch", "crop", "pad", "pad-corner", "none")
INTERPOLATIONS: Final = ("bilinear", "bicubic", "lanczos", "box", "nearest")
CHANNEL_ORDERS: Final = ("rgb", "bgr", "gray", "rgba", "bgra")
LAYOUTS: Final = ("NCHW", "NHWC", "NHW", "CHW", "HWC", "HW")

_DESCRIPTION: Final = """What is done to each picture before the model gets it. Pictures are turned
upright as their EXIF data says; of animations and multi-page files the first
frame is read; color profiles are not applied."""

_DEST: Final = "picture_"
_ALIASING: Final = ("bilinear", "bicubic", "nearest")


def _among(names: tuple[str, ...]) -> Callable[[object, attrs.Attribute[Any], str | None], None]:
    """Attrs validator: one of the names, or None."""

    def check(_record: object, field: attrs.Attribute[Any], value: str | None) -> None:
        if value not in (None, *names):
            flag = f"--{field.name.replace('_', '-')}"
            raise ConfigError(f"{flag} has no {value!r}", remedy=f"choose {', '.join(names)}")

    return check


@attrs.frozen(kw_only=True)
class PictureOptions:
    """What is done to each picture; None leaves the choice to the model's input.

    `size` is height x width for inputs that do not fix them, `size_multiple` rounds a picture's
    own size instead. `range` is what the model takes, `source_range` what is stored in pictures
    of more than 8 bits. `background` shows through transparent pixels.

    Raises:
        ConfigError: one is not known, or two contradict each other.
    """

    resize: str = attrs.field(default="stretch", validator=_among(RESIZE_RULES))
    size: Size | None = None
    size_multiple: int = 1
    crop_fraction: float = 1.0
    pad_color: Color | None = None
    interpolation: str = attrs.field(default="bilinear", validator=_among(INTERPOLATIONS))
    antialias: bool = True
    range: Range | None = None
    source_range: Range | None = None
    normalize: Normalization | None = None
    background: Color = (255, 255, 255)
    channel_order: str | None = attrs.field(default=None, validator=_among(CHANNEL_ORDERS))
    layout: str | None = attrs.field(default=None, validator=_among(LAYOUTS))

    def __attrs_post_init__(self) -> None:
        unused = f"does nothing with --resize {self.resize}"
        if self.size and self.size_multiple > 1:
            raise ConfigError(
                "--size and --size-multiple contradict", remedy="leave one of them out"
            )
        if self.crop_fraction < 1 and self.resize != "crop":
            raise ConfigError(f"--crop-fraction {unused}", remedy="add --resize crop")
        if self.pad_color and not self.resize.startswith("pad"):
            raise ConfigError(f"--pad-color {unused}", remedy="add --resize pad")
        if not self.antialias and self.interpolation not in _ALIASING:
            raise ConfigError(
                f"--no-antialias does not go with --interpolation {self.interpolation}",
                remedy=f"choose one of {', '.join(_ALIASING)}",
            )
        self._check_normalization()

    def _check_normalization(self) -> None:
        """The well-known means and deviations are those of pixels in 0..1."""
        if self.normalize is None or self.normalize.name is None:
            return
        if self.range not in (None, Range(0, 1)):
            raise ConfigError(
                f"--normalize {self.normalize} is for pixels in 0..1, but --range is {self.range}",
                remedy="leave --range out, or give numbers: --normalize MEAN/STD",
            )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> PictureOptions:
        """The options that a command line gives.

        Raises:
            ConfigError: a value that is malformed, or two that contradict each other.
        """
        return cls(**{option.name: option.value(args) for option in _given(args)})


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for an input that is a folder of pictures."""
    # argparse would take the -1..1 of `--range -1..1` for an option.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    group = parser.add_argument_group("pictures (--input FOLDER)", _DESCRIPTION)
    for option in _OPTIONS:
        group.add_argument(option.flag, dest=_DEST + option.name, help=option.help, **option.more)


def picture_flags(args: argparse.Namespace) -> tuple[str, ...]:
    """The picture options that a command line gives; without a folder they do nothing."""
    return tuple(option.flag for option in _given(args))


@attrs.frozen
class _Option:
    """One option: a field of `PictureOptions`; `parse(flag, text)` turns text into its value."""

    flag: str
    name: str
    help: str
    more: dict[str, Any]
    parse: Callable[[str, str], Any] | None = None

    def value(self, args: argparse.Namespace) -> Any:
        given = getattr(args, _DEST + self.name)
        return self.parse(self.flag, given) if self.parse else given


def _given(args: argparse.Namespace) -> list[_Option]:
    return [option for option in _OPTIONS if getattr(args, _DEST + option.name, None) is not None]


_OPTIONS: Final = (
    _Option(
        "--resize",
        "resize",
        "stretch: to the model's height and width; crop: until the picture covers them, and keep "
        "the center; pad: until it fits into them, centered on a colored canvas; pad-corner: the "
        "same in the upper left corner; none: refuse pictures of another size (default: stretch)",
        {"choices": RESIZE_RULES},
    ),
    _Option(
        "--size",
        "size",
        "height and width for a model that takes any (default: those of each picture; a side "
        "that the model fixes scales the other one)",
        {"metavar": "HxW"},
        parse_size,
    ),
    _Option(
        "--size-multiple",
        "size_multiple",
        "round the size of pictures to multiples of N for a model that takes any: the nearest "
        "one (stretch), the next smaller (crop) or larger one (pad) (default: 1)",
        {"metavar": "N"},
        parse_count,
    ),
    _Option(
        "--crop-fraction",
        "crop_fraction",
        "with --resize crop, the part of each side that is kept: 0.875 resizes to 256 and keeps "
        "224 (default: 1)",
        {"metavar": "F"},
        parse_fraction,
    ),
    _Option(
        "--pad-color",
        "pad_color",
        "with --resize pad, the canvas: black, gray, white, #RRGGBB or R,G,B (default: black)",
        {"metavar": "COLOR"},
        parse_color,
    ),
    _Option(
        "--interpolation",
        "interpolation",
        "the filter, as Pillow has it; box is the mean of the pixels under each new one (default: "
        "bilinear)",
        {"choices": INTERPOLATIONS},
    ),
    _Option(
        "--no-antialias",
        "antialias",
        "sample without averaging when a picture shrinks, as cv2.resize does; for bilinear, "
        "bicubic and nearest (default: average)",
        {"action": "store_const", "const": False},
    ),
    _Option(
        "--range",
        "range",
        "what black and full intensity become, for example 0..1, -1..1 or 0..255 (default: 0..1 "
        "for a float input, 0..255 for uint8; any other integer input needs it)",
        {"metavar": "LOW..HIGH"},
        parse_range,
    ),
    _Option(
        "--normalize",
        "normalize",
        "then subtract a mean and divide by a standard deviation: imagenet, clip, or numbers, one "
        "for all channels or one each in the order of the model's channels (default: none)",
        {"metavar": "MEAN/STD"},
        parse_normalization,
    ),
    _Option(
        "--source-range",
        "source_range",
        "what black and full intensity are in pictures of more than 8 bits (default: 0..65535 for "
        "16 bits, 0..1 for floats; signed and 32-bit integers need it)",
        {"metavar": "LOW..HIGH"},
        parse_range,
    ),
    _Option(
        "--background",
        "background",
        "what shows through transparent pixels, unless the model takes alpha (default: white)",
        {"metavar": "COLOR"},
        parse_color,
    ),
    _Option(
        "--channel-order",
        "channel_order",
        "the model's channels (default: gray for 1, rgb for 3, rgba for 4)",
        {"choices": CHANNEL_ORDERS},
    ),
    _Option(
        "--layout",
        "layout",
        "the model's axes: N pictures, C channels, H height, W width (default: from its shape, "
        "where that is clear)",
        {"choices": LAYOUTS, "type": str.upper},
    ),
)
