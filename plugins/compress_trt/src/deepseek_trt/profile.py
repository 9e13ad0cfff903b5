"""Optimization profiles: least, usual and most of each input whose shape is not fixed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal

import attrs

from deepseek_core import errors

_BOUNDS: Final = ("min", "opt", "max")
_EXAMPLE: Final = "write x=1x3x224x224:8x3x224x224:32x3x224x224 (min:opt:max), or n=@1:@4:@16"
_MOST: Final = 2**31 - 1
Dims = tuple[int, ...]


def _dims(value: Iterable[int]) -> Dims:
    return tuple(value)


@attrs.frozen(kw_only=True)
class Profile:
    """What one input may be: `min`, `opt` (built for) and `max`, each of the same rank.

    `of` is "shape", or "values" for an input whose numbers are a shape or a count themselves.
    """

    input: str
    min: Dims = attrs.field(converter=_dims)
    opt: Dims = attrs.field(converter=_dims)
    max: Dims = attrs.field(converter=_dims)
    of: Literal["shape", "values"] = "shape"

    def __attrs_post_init__(self) -> None:
        rows = (self.min, self.opt, self.max)
        if not self.input:
            raise errors.ConfigError("a profile names no input", remedy=_EXAMPLE)
        if len({len(row) for row in rows}) != 1:
            raise self._wrong("min, opt and max differ in rank")
        least = 0 if self.of == "shape" else -_MOST
        if any(type(d) is not int or not least <= d <= _MOST for row in rows for d in row):
            raise self._wrong(f"each number is a whole one from {least} to {_MOST}")
        for low, usual, high in zip(*rows, strict=True):
            if not low <= usual <= high:
                raise self._wrong(f"min <= opt <= max does not hold: {low}, {usual}, {high}")

    def _wrong(self, why: str) -> errors.ConfigError:
        return errors.ConfigError(f"profile of input {self.input!r}: {why}", remedy=_EXAMPLE)

    @classmethod
    def parse(cls, text: str) -> Profile:
        """`x=1x3x8x8:4x..:8x..`; `..` stands for what the row before has there.

        One row means that all three are the same.

        Raises:
            ConfigError: it can't be read.
        """
        name, equals, rest = text.rpartition("=")
        rows = rest.split(":")
        if not equals or not name or len(rows) not in (1, 3):
            raise errors.ConfigError(f"{text!r} is not a profile", remedy=_EXAMPLE)
        of_values = all(row.startswith("@") for row in rows)
        read: list[Dims] = []
        for row in rows:
            read.append(_row(row.removeprefix("@") if of_values else row, read, text))
        low, usual, high = read * 3 if len(read) == 1 else read
        of: Literal["shape", "values"] = "values" if of_values else "shape"
        return cls(input=name, min=low, opt=usual, max=high, of=of)

    def to_json(self) -> dict[str, Any]:
        """Plain values by name."""
        return {"input": self.input, "of": self.of, **{b: list(getattr(self, b)) for b in _BOUNDS}}

    @classmethod
    def from_json(cls, given: Any) -> Profile:
        """The profile that `to_json` wrote.

        Raises:
            ConfigError: it is not a profile.
        """
        try:
            return cls(**given)
        except (TypeError, AttributeError) as error:
            raise errors.ConfigError(
                f"{given!r} is not a profile: {error}", remedy=_EXAMPLE
            ) from error


def _row(text: str, before: list[Dims], whole: str) -> Dims:
    last = before[-1] if before else ()
    if text.endswith("x.."):
        start = _numbers(text.removesuffix("x.."), whole)
        if len(start) > len(last):
            raise errors.ConfigError(f"{whole!r}: .. continues no row before", remedy=_EXAMPLE)
        return (*start, *last[len(start) :])
    return _numbers(text, whole)


def _numbers(text: str, whole: str) -> Dims:
    if text == "scalar":
        return ()
    if not re.fullmatch(r"-?\d{1,10}(x-?\d{1,10})*", text, re.ASCII):
        raise errors.ConfigError(f"{whole!r}: {text!r} is not a shape", remedy=_EXAMPLE)
    return tuple(int(word) for word in text.split("x"))
