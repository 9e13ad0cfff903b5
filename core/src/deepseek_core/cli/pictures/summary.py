"""What is done to the pictures of a folder, as sentences and as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import attrs

from deepseek_core.cli.pictures.listing import Listing
from deepseek_core.cli.pictures.option_values import Color, Size
from deepseek_core.cli.pictures.scaling import BYTE
from deepseek_core.cli.pictures.sizes import shown_size
from deepseek_core.cli.pictures.survey import Survey, listed
from deepseek_core.cli.pictures.treatment import Treatment
from deepseek_core.contracts.units import counted

_RULES: Final = {
    "stretch": "stretched",
    "crop": "cropped to the center",
    "pad": "padded on all sides",
    "pad-corner": "padded right and below",
}


@attrs.frozen(kw_only=True)
class Summary:
    """What is said of a folder: how its pictures are treated, and what some of them have."""

    treatment: Treatment
    listing: Listing
    seen: Survey

    def lines(self) -> tuple[str, ...]:
        """The treatment in one sentence, then one for each thing that not all pictures have."""
        found = counted(self.seen.sizes.total(), "picture")
        first = f"{found}, {listed(self.seen.sizes)} (height x width){self._resizing()}; "
        values = ", ".join((self._colors(), self._range(), self._normalization()))
        return (first + values, *self._notes())

    def to_json(self) -> dict[str, Any]:
        """The same as plain values; sizes are `HEIGHTxWIDTH`, with how many have each."""
        options, scaling = self.treatment.options, self.treatment.scaling
        return {
            "pictures": self.seen.sizes.total(),
            "sizes": _by_size(self.seen.sizes),
            "resized_to": _by_size(self.seen.targets),
            "resize": options.resize,
            "interpolation": options.interpolation,
            "antialias": options.antialias,
            "layout": self.treatment.layout.axes,
            "channel_order": self.treatment.layout.colors,
            "dtype": scaling.dtype,
            "range": [scaling.range.low, scaling.range.high],
            "mean": list(scaling.mean),
            "std": list(scaling.std),
            "background": _hex(options.background),
            "notes": list(self._notes()),
        }

    def _resizing(self) -> str:
        options = self.treatment.options
        if self.seen.sizes == self.seen.targets and options.crop_fraction == 1:
            return ", not resized"
        how = options.interpolation + ("" if options.antialias else " without antialiasing")
        return f" -> {listed(self.seen.targets)} ({_RULES[options.resize]}, {how})"

    def _colors(self) -> str:
        colors = self.treatment.layout.colors
        return colors if colors == "gray" else colors.upper()

    def _range(self) -> str:
        scaling = self.treatment.scaling
        if scaling.range == BYTE:
            return "pixel values 0..255"
        rounded = "" if scaling.is_float else " and rounded"
        return f"scaled to {scaling.range}{rounded}"

    def _normalization(self) -> str:
        normalize = self.treatment.options.normalize
        if normalize:
            return f"then mean/std of {normalize}"
        hint = " (--normalize imagenet)" if self.treatment.scaling.is_float else ""
        return f"no mean/std{hint}"

    def _notes(self) -> tuple[str, ...]:
        options, counts = self.treatment.options, self.seen.traits
        source = options.source_range or "the range of their type"
        texts = {
            "frames": "several frames: the first is read",
            "16-bit color": "16 bits a color: Pillow reads the upper 8",
            "deep": f"more than 8 bits of gray: scaled from {source}",
        }
        if self.treatment.layout.channels != 4:
            texts["alpha"] = f"transparency: shown over {_hex(options.background)}"
        notes = [f"{counts[name]:,} with {text}" for name, text in texts.items() if counts[name]]
        left_out = self.listing.left_out
        return (*notes, f"left out: {left_out}") if left_out else tuple(notes)


def _by_size(counts: Counter[Size]) -> dict[str, int]:
    return {shown_size(size): count for size, count in counts.most_common()}


def _hex(color: Color) -> str:
    return "#{:02x}{:02x}{:02x}".format(*color)
