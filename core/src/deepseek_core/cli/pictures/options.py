"""Options of a folder of pictures: how pixels become the model's input."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

import attrs

from deepseek_core.cli.pictures import option_values
from deepseek_core.cli.pictures.arguments import (
    CHANNEL_ORDERS,
    INTERPOLATIONS,
    LAYOUTS,
    RESIZE_RULES,
    Argument,
    given,
)
from deepseek_core.cli.pictures.option_values import Color, Normalization, Range, Size
from deepseek_core.contracts.errors import ConfigError

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
        return cls(**{argument.name: _value(argument, text) for argument, text in given(args)})


def _value(argument: Argument, text: Any) -> Any:
    """What an argument's text stands for."""
    return getattr(option_values, argument.parse)(argument.flag, text) if argument.parse else text
