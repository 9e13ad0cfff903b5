"""E3: the area of the Verilog twin, as yosys maps it to a Xilinx UltraScale+ part.

Flip-flops are exact for this RTL. LUTs depend on the mapper, so they are given as a range: that of
two mappings, or of what versions of yosys differ by, if that is wider. Two small arrays are mapped:
what an element takes is their difference, and the area of larger arrays follows a line, which is
told as such. No clock and no power: yosys knows neither.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from attrs import asdict, frozen

from deepseek_core import errors
from deepseek_fpga.process import ToolFailed, run_tool
from deepseek_fpga.proof.cosim import sources
from deepseek_fpga.proof.kept import Kept, key_of
from deepseek_fpga.proof.rung import Figure, RungResult, judged, not_run
from deepseek_fpga.proof.tools import Missing, Tool, yosys

SIZES: Final = (2, 4)
"""Elements of the arrays that are mapped."""
TOLD: Final = 48
"""Elements of the array that the line is drawn to."""
FAMILY: Final = "xcup"
_MAPPINGS: Final = ("", "-abc9")
# The same twin takes 894 LUTs an element by the mapper of yosys 0.23, and 672 by that of 0.70.
_SPREAD: Final = 1.33
_CELL: Final = re.compile(r"^\s*(?:(\w+)\s+(\d+)|(\d+)\s+(\w+))\s*$", re.MULTILINE)


@frozen(kw_only=True)
class Area:
    """Cells of one array: flip-flops, and LUTs of the least and the most sparing mapping."""

    flip_flops: int
    fewest_luts: int
    most_luts: int


def check_area(kernel: str, kept: Kept, *, limit_s: float) -> RungResult:
    """Map two arrays; each mapping takes `limit_s` seconds at most."""
    tool = yosys()
    if isinstance(tool, Missing):
        return not_run("E3", kernel, tool.why, tool.remedy)
    try:
        small, large = (_of_size(tool, size, kept, limit_s) for size in SIZES)
    except ToolFailed as error:
        return not_run("E3", kernel, error.message, error.remedy or "")
    basis = f"area estimate, {tool.version.partition(' (')[0]}, {FAMILY}"
    return judged("E3", kernel, _fault(small, large), _figures(small, large, basis))


def _of_size(tool: Tool, size: int, kept: Kept, limit_s: float) -> Area:
    key = key_of("area", tool.version, size, FAMILY, _MAPPINGS, _SPREAD, *sources().values())
    known = kept.facts(key)
    if known is not None:
        return Area(**known)
    counts = [mapped(tool, size, mapping, limit_s) for mapping in _MAPPINGS]
    luts = [_sum(count, "LUT") for count in counts]
    area = Area(
        flip_flops=_sum(counts[0], "FD"),
        fewest_luts=min(luts),
        most_luts=max(*luts, round(_SPREAD * min(luts))),
    )
    kept.keep(key, asdict(area))
    return area


def mapped(tool: Tool, size: int, mapping: str, limit_s: float) -> dict[str, int]:
    """Cells by type of an array of `size` elements.

    Raises:
        ToolFailed: yosys fails, does not end in time, or counts nothing.
        WriteError: no space for the sources.
    """
    with TemporaryDirectory(prefix="deepseek-fpga-") as name:
        folder = Path(name)
        try:
            for file, text in sources().items():
                (folder / file).write_text(text, encoding="utf-8")
        except OSError as error:
            raise errors.WriteError(
                f"{folder} can't be written: {error.strerror}", remedy="set TMPDIR"
            ) from error
        script = (
            "read_verilog matcher.v element.v; "
            f"chparam -set P {size} matcher; "
            f"synth_xilinx -family {FAMILY} -flatten -noiopad -noclkbuf -top matcher {mapping}; "
            "tee -o cells.txt stat"
        )
        run_tool([tool.command, "-q", "-p", script], limit_s=limit_s, folder=folder)
        try:
            text = (folder / "cells.txt").read_text(encoding="utf-8", errors="replace")
        except OSError:
            text = ""
    counts = count_cells(text)
    if not _sum(counts, "FD") or not _sum(counts, "LUT"):
        raise ToolFailed(
            "yosys counted no cells",
            log=text[-400:],
            remedy=f"reinstall it; it is {tool.command}",
        )
    return counts


def count_cells(text: str) -> dict[str, int]:
    """Cells by type of what `stat` prints: `FDRE 12` of older versions, `12 FDRE` of newer ones."""
    counts: dict[str, int] = {}
    for name, number, first, last in _CELL.findall(text):
        counts[name or last] = int(number or first)
    return counts


def _sum(counts: Mapping[str, int], start: str) -> int:
    """All flip-flops are called FD.., all LUTs LUT1 to LUT6."""
    return sum(number for name, number in counts.items() if name.startswith(start))


def _fault(small: Area, large: Area) -> str:
    grows = large.flip_flops > small.flip_flops and large.fewest_luts > small.fewest_luts
    return "" if grows else "a larger array takes no more cells: what was mapped is not an array"


def _figures(small: Area, large: Area, basis: str) -> tuple[Figure, ...]:
    step = SIZES[1] - SIZES[0]

    def line(first: int, second: int) -> tuple[float, float]:
        """Cells an element, and of the array of `TOLD` elements."""
        each = (second - first) / step
        return each, first + each * (TOLD - SIZES[0])

    rows = {
        "FF": line(small.flip_flops, large.flip_flops),
        "LUT at least": line(small.fewest_luts, large.fewest_luts),
        "LUT at most": line(small.most_luts, large.most_luts),
    }
    each = [
        Figure(name=f"{name} an element", value=value, unit="", basis=basis)
        for name, (value, _) in rows.items()
    ]
    drawn = f"{basis}, on a line through P = {SIZES[0]} and {SIZES[1]}"
    whole = [
        Figure(name=f"{name} P={TOLD}", value=round(value), unit="", basis=drawn)
        for name, (_, value) in rows.items()
    ]
    return (*each, *whole)
