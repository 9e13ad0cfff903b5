"""Options of the job, each checked where it is given."""

from __future__ import annotations

import re
from itertools import combinations
from typing import Final, Literal

import attrs

from deepseek_core import compression, errors

_LEAST_SIZE, _MOST_SIZE = 32, 1024
AXES: Final = {"both": (2, 3), "horizontal": (3,), "vertical": (2,), "none": ()}
"""Of a batch (N, C, h, w), those that `flips` mirrors along."""


@attrs.frozen(kw_only=True)
class Options:
    """How pictures are read, split, trained on and judged.

    Raises:
        ConfigError: a value out of its range.
    """

    source: str = attrs.field(
        default="", metadata={"help": "where the data are from (default: the folder's name)"}
    )
    license: str = attrs.field(
        default="not stated", metadata={"help": "under which license the data are"}
    )
    size: int = attrs.field(
        default=96,
        metadata={"help": "px of the network's picture, as the side of a square of its area"},
    )
    crop: str = attrs.field(
        default="0,0,1,1",
        metadata={"help": "what is looked at: top, left, bottom, right as shares of the picture"},
    )
    folds: int = attrs.field(default=5, metadata={"help": "parts that the data are dealt into"})
    fold: int = attrs.field(
        default=0, metadata={"help": "which of them is the test; the next one is for validation"}
    )
    group_by: str = attrs.field(
        default="",
        metadata={"help": "expression whose first group in a file's path names the part it shows"},
    )
    network: Literal["plain", "depthwise"] = attrs.field(
        default="plain", metadata={"help": "sort of convolutions"}
    )
    width: int = attrs.field(default=16, metadata={"help": "channels of the first stage"})
    steps: int = attrs.field(default=4000, metadata={"help": "steps of a training"})
    batch: int = attrs.field(default=24, metadata={"help": "draws in a step"})
    learning_rate: float = attrs.field(default=2e-3, metadata={"help": "its highest value"})
    precision: Literal["auto", "fp32", "bf16"] = attrs.field(
        default="auto", metadata={"help": "auto: bf16 where the processor multiplies it"}
    )
    processes: int = attrs.field(default=1, metadata={"help": "processes that share a training"})
    flips: Literal["both", "horizontal", "vertical", "none"] = attrs.field(
        default="both", metadata={"help": "mirrored parts that are as likely as the part itself"}
    )
    light: Literal["uneven", "even"] = attrs.field(
        default="uneven",
        metadata={"help": "even: on scans, say; else light and focus of draws vary over the part"},
    )
    mirrored: bool = attrs.field(
        default=True,
        metadata={"help": "the file looks at each part as flips mirrors it, too; up to 4 times"},
    )
    recall: float = attrs.field(
        default=0.95, metadata={"help": "share of defects to catch; sets the threshold"}
    )
    decode_s: float = attrs.field(
        default=5.0, metadata={"help": "seconds that decoding of one picture may take"}
    )
    deadline_ms: float = attrs.field(
        default=8.0, metadata={"help": "milliseconds from file to map", "at_run": True}
    )
    maps: str = attrs.field(
        default="",
        metadata={"help": "folder that a map of each picture is written to", "at_run": True},
    )
    timed: bool = attrs.field(
        default=True,
        metadata={"help": "each row has its seconds, and whether it was late", "at_run": True},
    )
    int8: Literal["auto", "never"] = attrs.field(
        default="auto", metadata={"help": "auto: int8 ships where it was measured faster"}
    )
    macs: str = attrs.field(
        default="",
        metadata={"help": "multiplications of a smaller network that export tries: /2 is half"},
    )

    def __attrs_post_init__(self) -> None:
        for name, (low, high) in {
            "size": (_LEAST_SIZE, _MOST_SIZE), "folds": (3, 100), "fold": (0, self.folds - 1),
            "width": (4, 256), "steps": (1, 10_000_000), "batch": (2, 4096),
            "learning_rate": (1e-7, 1.0), "processes": (1, 64), "recall": (0.01, 1.0),
            "decode_s": (0.01, 3600.0), "deadline_ms": (0.01, 3.6e6),
        }.items():  # fmt: skip
            if not low <= getattr(self, name) <= high:
                raise errors.ConfigError(
                    f"{name} is {getattr(self, name)}", remedy=f"give {low} to {high}"
                )
        self._check_crop()
        self._check_rule()
        self._check_macs()

    @property
    def views(self) -> tuple[tuple[int, ...], ...]:
        """What the file looks at: the axes of (N, C, h, w) along which each view is mirrored."""
        axes = AXES[self.flips] if self.mirrored else ()
        return tuple(chosen for n in range(len(axes) + 1) for chosen in combinations(axes, n))

    @property
    def looked_at(self) -> tuple[float, float, float, float]:
        """Top, left, bottom, right of the crop."""
        top, left, bottom, right = map(float, self.crop.split(","))
        return top, left, bottom, right

    def _check_crop(self) -> None:
        try:
            top, left, bottom, right = self.looked_at
            fits = 0 <= top < bottom <= 1 and 0 <= left < right <= 1
        except ValueError:
            fits = False
        if not fits:
            raise errors.ConfigError(
                f"crop is {self.crop!r}",
                remedy="give top, left, bottom and right as shares, such as 0.1,0,0.9,1",
            )

    def _check_macs(self) -> None:
        if self.macs:
            compression.Limit.parse(self.macs, where="macs")

    def _check_rule(self) -> None:
        try:
            groups = re.compile(self.group_by).groups if self.group_by else 1
        except re.error as error:
            raise errors.ConfigError(
                f"group_by is {self.group_by!r}: {error}", remedy="give a regular expression"
            ) from error
        if groups < 1:
            raise errors.ConfigError(
                f"group_by is {self.group_by!r} and has no group in parentheses",
                remedy="mark what names the part, such as '(part[0-9]+)_'",
            )
