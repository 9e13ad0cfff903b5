"""A board as its user describes it: `pes=48,clock_mhz=300`. Nothing of it is measured.

Settings are read at every start: no numpy here.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final

import attrs

from deepseek_core import errors

_GB: Final = 1e9
_MHZ: Final = 1e6
_PART: Final = re.compile(r"\s*([a-z_]+)\s*=\s*([^\s=,]+)\s*")


def _within(low: float, high: float) -> Any:
    def check(_board: object, field: attrs.Attribute[Any], value: object) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= float(value) <= high:  # type: ignore[arg-type]
            raise errors.ConfigError(
                f"a board's {field.name} must be from {low:g} to {high:g}, got {value!r}",
                remedy=f"give a number from {low:g} to {high:g}",
            )

    return check


@attrs.frozen(kw_only=True)
class Board:
    """A board that is assumed: all of it is said by whoever asks, nothing is measured.

    The limits are those of parts that exist, with space: what lies beyond is a slip.
    """

    pes: int = attrs.field(default=48, validator=_within(1, 4096))
    """Processing elements."""
    clock_mhz: float = attrs.field(default=300.0, validator=_within(1, 1500))
    ii: float = attrs.field(default=1.0, validator=_within(1, 64))
    """Cycles a descriptor."""
    banks: int = attrs.field(default=1, validator=_within(1, 64))
    """Memory banks that the gallery is spread over."""
    bank_gb_s: float = attrs.field(default=19.2, validator=_within(0.1, 2000))
    """Of one bank, in 1e9 bytes a second; one channel of DDR4-2400."""
    pcie_gb_s: float = attrs.field(default=12.0, validator=_within(0.1, 1000))
    """Between host and board; three quarters of what 16 lanes of the third generation carry."""
    launch_us: float = attrs.field(default=30.0, validator=_within(0, 1e6))
    """From the call to the first cycle."""
    memory_gb: float = attrs.field(default=16.0, validator=_within(0.01, 1024))

    @pes.validator
    @banks.validator
    def _whole(self, field: attrs.Attribute[Any], value: object) -> None:
        if not isinstance(value, int):
            raise errors.ConfigError(
                f"a board's {field.name} must be a whole number, got {value!r}",
                remedy="give a whole number",
            )

    @property
    def clock_hz(self) -> float:
        """Assumed, as all of it."""
        return self.clock_mhz * _MHZ

    @property
    def basis(self) -> str:
        """What every figure of this board is worth."""
        return f"model, clock of {self.clock_mhz:g} MHz assumed"

    @property
    def memory_bytes(self) -> int:
        """Bytes of all banks together."""
        return int(self.memory_gb * _GB)


def parse_board(text: str) -> Board:
    """`pes=48, clock_mhz=300, banks=4` as a board; what is left out has its default.

    Raises:
        ConfigError: a word that is no such pair, a name twice or unknown, a number out of range.
    """
    known = {field.name for field in attrs.fields(Board)}
    given: dict[str, Any] = {}
    for part in filter(str.strip, text.split(",")):
        found = _PART.fullmatch(part)
        if found is None or found[1] not in known:
            raise errors.ConfigError(
                f"a board's description has {part.strip()!r}",
                remedy=f"write pes=48,clock_mhz=300; the names: {', '.join(sorted(known))}",
            )
        if found[1] in given:
            raise errors.ConfigError(
                f"a board's description has {found[1]} twice", remedy="leave one of them out"
            )
        given[found[1]] = _number(found[1], found[2])
    return Board(**given)


def _number(name: str, text: str) -> int | float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise errors.ConfigError(
            f"a board's {name} must be a number, got {text!r}",
            remedy="give a plain number, as in pes=48",
        )
    return int(value) if value.is_integer() else value
