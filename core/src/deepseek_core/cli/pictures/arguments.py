"""Arguments for a folder of pictures; light, since every command that takes inputs has them."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final, NamedTuple

RESIZE_RULES: Final = ("stretch", "crop", "pad", "pad-corner", "none")
INTERPOLATIONS: Final = ("bilinear", "bicubic", "lanczos", "box", "nearest")
CHANNEL_ORDERS: Final = ("rgb", "bgr", "gray", "rgba", "bgra")
LAYOUTS: Final = ("NCHW", "NHWC", "NHW", "CHW", "HWC", "HW")

_DESCRIPTION: Final = """What is done to each picture before the model gets it. Pictures are turned
upright as their EXIF data says; of animations and multi-page files the first
frame is read; color profiles are not applied."""

_DEST: Final = "picture_"


class Argument(NamedTuple):
    """A field of `PictureOptions`; `parse` names what of `option_values` reads its text."""

    flag: str
    name: str
    help: str
    more: dict[str, Any]
    parse: str = ""


def add_picture_arguments(parser: argparse.ArgumentParser) -> None:
    """Options for an input that is a folder of pictures."""
    # argparse would take the -1..1 of `--range -1..1` for an option.
    parser._negative_number_matcher = re.compile(r"-\.?\d")
    group = parser.add_argument_group("pictures (--input FOLDER)", _DESCRIPTION)
    for argument in ARGUMENTS:
        group.add_argument(
            argument.flag, dest=_DEST + argument.name, help=argument.help, **argument.more
        )


def picture_flags(args: argparse.Namespace) -> tuple[str, ...]:
    """The picture options that a command line gives; without a folder they do nothing."""
    return tuple(argument.flag for argument, _ in given(args))


def given(args: argparse.Namespace) -> list[tuple[Argument, Any]]:
    """The arguments that a command line gives, with their texts."""
    texts = [(argument, getattr(args, _DEST + argument.name, None)) for argument in ARGUMENTS]
    return [(argument, text) for argument, text in texts if text is not None]


ARGUMENTS: Final = (
    Argument(
        "--resize",
        "resize",
        "stretch: to the model's height and width; crop: until the picture covers them, and keep "
        "the center; pad: until it fits into them, centered on a colored canvas; pad-corner: the "
        "same in the upper left corner; none: refuse pictures of another size (default: stretch)",
        {"choices": RESIZE_RULES},
    ),
    Argument(
        "--size",
        "size",
        "height and width for a model that takes any (default: those of each picture; a side "
        "that the model fixes scales the other one)",
        {"metavar": "HxW"},
        "parse_size",
    ),
    Argument(
        "--size-multiple",
        "size_multiple",
        "round the size of pictures to multiples of N for a model that takes any: the nearest "
        "one (stretch), the next smaller (crop) or larger one (pad) (default: 1)",
        {"metavar": "N"},
        "parse_count",
    ),
    Argument(
        "--crop-fraction",
        "crop_fraction",
        "with --resize crop, the part of each side that is kept: 0.875 resizes to 256 and keeps "
        "224 (default: 1)",
        {"metavar": "F"},
        "parse_fraction",
    ),
    Argument(
        "--pad-color",
        "pad_color",
        "with --resize pad, the canvas: black, gray, white, #RRGGBB or R,G,B (default: black)",
        {"metavar": "COLOR"},
        "parse_color",
    ),
    Argument(
        "--interpolation",
        "interpolation",
        "the filter, as Pillow has it; box is the mean of the pixels under each new one (default: "
        "bilinear)",
        {"choices": INTERPOLATIONS},
    ),
    Argument(
        "--no-antialias",
        "antialias",
        "sample without averaging when a picture shrinks, as cv2.resize does; for bilinear, "
        "bicubic and nearest (default: average)",
        {"action": "store_const", "const": False},
    ),
    Argument(
        "--range",
        "range",
        "what black and full intensity become, for example 0..1, -1..1 or 0..255 (default: 0..1 "
        "for a float input, 0..255 for uint8; any other integer input needs it)",
        {"metavar": "LOW..HIGH"},
        "parse_range",
    ),
    Argument(
        "--normalize",
        "normalize",
        "then subtract a mean and divide by a standard deviation: imagenet, clip, or numbers, one "
        "for all channels or one each in the order of the model's channels (default: none)",
        {"metavar": "MEAN/STD"},
        "parse_normalization",
    ),
    Argument(
        "--source-range",
        "source_range",
        "what black and full intensity are in pictures of more than 8 bits (default: 0..65535 for "
        "16 bits, 0..1 for floats; signed and 32-bit integers need it)",
        {"metavar": "LOW..HIGH"},
        "parse_range",
    ),
    Argument(
        "--background",
        "background",
        "what shows through transparent pixels, unless the model takes alpha (default: white)",
        {"metavar": "COLOR"},
        "parse_color",
    ),
    Argument(
        "--channel-order",
        "channel_order",
        "the model's channels (default: gray for 1, rgb for 3, rgba for 4)",
        {"choices": CHANNEL_ORDERS},
    ),
    Argument(
        "--layout",
        "layout",
        "the model's axes: N pictures, C channels, H height, W width (default: from its shape, "
        "where that is clear)",
        {"choices": LAYOUTS, "type": str.upper},
    ),
)
