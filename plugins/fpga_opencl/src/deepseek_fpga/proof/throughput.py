"""E4: what a board would do by formula: P x f / II, capped by memory banks and PCIe.

A model, not a measurement: each of its figures is made by `told`, which puts the word and the
assumed clock beside it.

Legend: P elements, f clock, II cycles a descriptor, W = 32 bytes a descriptor.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from deepseek_core import errors
from deepseek_fpga.proof.cases import WORD_BYTES
from deepseek_fpga.proof.rung import Figure, RungResult, judged

_GB: Final = 1e9
_MHZ: Final = 1e6
_RESULT_BYTES: Final = 12  # index int64 and distance int32
_PART: Final = re.compile(r"\s*([a-z_]+)\s*=\s*([^\s=,]+)\s*")


def _within(low: float, high: float) -> Any:
    def check(_board: object, field: attrs.Attribute[Any], value: object) -> None:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not low <= float(value) <= high:  # type: ignore[arg-type]
            raise errors.ConfigError(
                f"a board's {field.name} is {value!r}",
                remedy=f"give a number from {low:g} to {high:g}",
            )

    return check


@attrs.frozen(kw_only=True)
class Board:
    """A board that is assumed: all of it is said by whoever asks, nothing is measured.

    The limits are those of parts that exist, with room: what lies beyond is a slip.
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
                f"a board's {field.name} is {value!r}", remedy="give a whole number"
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
        """Of all banks together."""
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
            f"a board's {name} is {text!r}", remedy="give a plain number, as in pes=48"
        )
    return int(value) if value.is_integer() else value


def told(board: Board, name: str, value: float, unit: str) -> Figure:
    """A figure of the model; the only way to one."""
    return Figure(name=name, value=value, unit=unit, basis=board.basis)


def limits_hz(board: Board, *, resident: bool) -> Mapping[str, float]:
    """Descriptors a second that each part of the board lets through.

    `resident`: the gallery lies in the board's memory; else it comes over PCIe each time.
    """
    found = {
        "array": board.clock_hz / board.ii,
        "banks": board.banks * board.bank_gb_s * _GB / WORD_BYTES,
    }
    return found if resident else {**found, "PCIe": board.pcie_gb_s * _GB / WORD_BYTES}


def seconds(board: Board, *, queries: int, rows: int, k: int, resident: bool) -> float:
    """One batch: queries over PCIe, the gallery past each set of P of them, results back."""
    passes = math.ceil(queries / board.pes)
    moved = queries * (WORD_BYTES + k * _RESULT_BYTES) + (0 if resident else rows * WORD_BYTES)
    stream_s = passes * rows / min(limits_hz(board, resident=True).values())
    return board.launch_us * 1e-6 + moved / (board.pcie_gb_s * _GB) + stream_s


def check_throughput(kernel: str, board: Board) -> RungResult:
    """The model's figures; it holds where the array itself is the limit."""
    figures = []
    for resident, where in ((True, "gallery on the board"), (False, "gallery over PCIe")):
        limits = limits_hz(board, resident=resident)
        tightest = min(limits, key=lambda part: limits[part])
        name = f"{where}, limit is {tightest}"
        rate = board.pes * limits[tightest] / 1e9
        figures.append(told(board, name, rate, f"Gpair/s at P={board.pes}"))
    wanted = board.clock_hz / board.ii * WORD_BYTES / _GB
    figures.append(told(board, "the array reads", wanted, "GB/s"))
    return judged("E4", kernel, _fault(board), tuple(figures), "give more banks, or a lower clock")


def _fault(board: Board) -> str:
    limits = limits_hz(board, resident=True)
    if limits["banks"] >= limits["array"]:
        return ""
    share = limits["banks"] / limits["array"]
    return f"the memory banks feed {share:.0%} of what the array takes ({board.basis})"
