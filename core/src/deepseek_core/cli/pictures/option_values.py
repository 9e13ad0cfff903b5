"""What picture options are given as text: ranges, mean/std, sizes, colors."""

from __future__ import annotations

import math
import re
from typing import Final, NoReturn

import attrs

from deepseek_core.contracts.errors import ConfigError

Color = tuple[int, int, int]
"""Red, green and blue, 0 to 255 each."""

Size = tuple[int, int]
"""Height and width in pixels."""

# Above this, Pillow warns of a decompression bomb: a quarter of a GiB at three bytes a pixel.
MOST_PIXELS: Final = 89_478_485

BLACK: Final = (0, 0, 0)

_COLORS: Final = {"black": BLACK, "gray": (128, 128, 128), "white": (255, 255, 255)}
_HEX_COLOR: Final = re.compile(r"#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})", re.IGNORECASE)


@attrs.frozen
class Range:
    """The values of black and of full intensity."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """`high - low`, above 0."""
        return self.high - self.low

    def __str__(self) -> str:
        return f"{self.low:.12g}..{self.high:.12g}"


@attrs.frozen
class Normalization:
    """Mean and standard deviation of each channel; one number stands for all channels.

    `name` is that of a well-known pair, whose numbers are in the order red, green, blue;
    others are in the order of the model's channels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    name: str | None = None

    def __str__(self) -> str:
        return self.name or f"{_listed(self.mean)}/{_listed(self.std)}"


NORMALIZATIONS: Final = {
    "imagenet": Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "imagenet"),
    "clip": Normalization(
        (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "clip"
    ),
}


def luma(color: Color) -> float:
    """Gray of a color, 0 to 255, as ITU-R BT.601 weighs red, green and blue."""
    red, green, blue = color
    return (299 * red + 587 * green + 114 * blue) / 1000


def parse_range(flag: str, text: str) -> Range:
    """`"-1..1"` -> `Range(-1, 1)`.

    Raises:
        ConfigError: not two finite numbers, or the first is not the smaller one.
    """
    numbers = _numbers(text.split(".."))
    if len(numbers) != 2 or not numbers[0] < numbers[1]:
        _refuse(flag, text, "LOW..HIGH", "0..1")
    return Range(*numbers)


def parse_normalization(flag: str, text: str) -> Normalization:
    """`"imagenet"`, `"0.5/0.5"`, `"0.485,0.456,0.406/0.229,0.224,0.225"` or `"104,117,124/1"`.

    Raises:
        ConfigError: no such name, or not as many means as deviations above 0.
    """
    if text.lower() in NORMALIZATIONS:
        return NORMALIZATIONS[text.lower()]
    mean, std = (_numbers(part.split(",")) for part in (text + "/").split("/")[:2])
    count = max(len(mean), len(std))
    mean, std = (part * count if len(part) == 1 else part for part in (mean, std))
    if text.count("/") != 1 or not len(mean) == len(std) == count or min(std, default=0) <= 0:
        _refuse(flag, text, "a name or MEAN/STD", f"{' or '.join(NORMALIZATIONS)} or 0.5/0.5")
    return Normalization(mean, std)


def parse_size(flag: str, text: str) -> Size:
    """`"480x640"` -> height 480, width 640.

    Raises:
        ConfigError: not two counts of pixels, or more pixels than a picture may have.
    """
    found = re.fullmatch(r"(\d{1,9})x(\d{1,9})", text.lower(), re.ASCII)
    height, width = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 0 < height * width <= MOST_PIXELS:
        _refuse(flag, text, f"HEIGHTxWIDTH, at most {MOST_PIXELS:,} pixels", "480x640")
    return height, width


def parse_count(flag: str, text: str) -> int:
    """A count of pixels, 1 to 4096.

    Raises:
        ConfigError: it is none.
    """
    count = int(text) if re.fullmatch(r"\d{1,4}", text, re.ASCII) else 0
    if not 1 <= count <= 4096:
        _refuse(flag, text, "a number of pixels from 1 to 4096", "32")
    return count


def parse_fraction(flag: str, text: str) -> float:
    """A part of the whole, above 0 and at most 1.

    Raises:
        ConfigError: it is none.
    """
    (fraction,) = _numbers([text]) or (0.0,)
    if not 0.01 <= fraction <= 1:
        _refuse(flag, text, "a number from 0.01 to 1", "0.875")
    return fraction


def parse_color(flag: str, text: str) -> Color:
    """`"white"`, `"#727272"` or `"114,114,114"`.

    Raises:
        ConfigError: it is none of these.
    """
    if text.lower() in _COLORS:
        return _COLORS[text.lower()]
    if found := _HEX_COLOR.fullmatch(text):
        return int(found[1], 16), int(found[2], 16), int(found[3], 16)
    if found := re.fullmatch(r"(\d{1,3}),(\d{1,3}),(\d{1,3})", text, re.ASCII):
        color = int(found[1]), int(found[2]), int(found[3])
        if max(color) <= 255:
            return color
    _refuse(flag, text, "a color", f"{', '.join(_COLORS)}, #727272 or 114,114,114")


def _numbers(texts: list[str]) -> tuple[float, ...]:
    """All of them as finite numbers, or none."""
    try:
        numbers = tuple(float(text) for text in texts)
    except ValueError:
        return ()
    return numbers if all(map(math.isfinite, numbers)) else ()


def _listed(numbers: tuple[float, ...]) -> str:
    return ",".join(f"{number:.12g}" for number in numbers)


def _refuse(flag: str, text: str, needs: str, example: str) -> NoReturn:
    raise ConfigError(f"{flag} needs {needs}, got {text!r}", remedy=f"for example {flag} {example}")
