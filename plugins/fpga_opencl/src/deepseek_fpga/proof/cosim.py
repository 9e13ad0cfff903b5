"""E2: the Verilog twin, cycle by cycle in verilator, against exact numpy.

The initiation interval (II) is cycles a descriptor, filling of the pipeline included.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
from attrs import frozen

from deepseek_core import errors
from deepseek_fpga.process import ToolFailed, run_tool
from deepseek_fpga.proof.cases import WORD_BYTES, Case, make_case
from deepseek_fpga.proof.kept import Kept, key_of
from deepseek_fpga.proof.rung import Figure, RungResult, judged, not_run
from deepseek_fpga.proof.tools import Missing, Tool, verilator

SIZES: Final = (8, 16, 32)
"""Processing elements of the arrays that are simulated."""
COUNT: Final = 10_000
"""Random descriptors that each array is given."""
MOST_II: Final = 1.01
_BUBBLES: Final = (0, 90)  # of 256 cycles without a descriptor: none, for the II, and a third
_SEED: Final = 14
_BASIS: Final = "RTL simulation"
_DRIVER: Final = "drive"


@frozen(kw_only=True)
class Cosim:
    """What one array did with one case: cycles, and queries whose list was wrong."""

    cycles: int
    mismatches: int


@cache
def sources() -> dict[str, str]:
    """The Verilog twin and its driver, by file name."""
    folder = resources.files("deepseek_fpga").joinpath("rtl")
    names = ("matcher.v", "element.v", "drive.cpp")
    return {name: folder.joinpath(name).read_text(encoding="utf-8") for name in names}


def check_cosim(
    kernel: str, kept: Kept, *, sizes: Sequence[int] = SIZES, limit_s: float
) -> RungResult:
    """Simulate arrays of these sizes; each build and each run takes `limit_s` seconds at most."""
    tool = verilator()
    if isinstance(tool, Missing):
        return not_run("E2", kernel, tool.why, tool.remedy)
    figures: list[Figure] = []
    faults: list[str] = []
    for size in sizes:
        try:
            found = _of_size(tool, size, kept, limit_s)
        except ToolFailed as error:
            return not_run("E2", kernel, f"P = {size}: {error.message}", error.remedy or "")
        figures += _figures(size, found, tool)
        faults += _faults(size, found)
    return judged("E2", kernel, "; ".join(faults), tuple(figures), "fix rtl/matcher.v")


def _of_size(tool: Tool, size: int, kept: Kept, limit_s: float) -> list[Cosim]:
    key = key_of("cosim", tool.version, size, COUNT, _SEED, *sources().values())
    known = kept.facts(key)
    if known is not None:
        return [Cosim(**found) for found in known["found"]]
    with kept.built(
        key_of("twin", tool.version, size, *sources().values()),
        _DRIVER,
        lambda folder: build(tool, size, folder, limit_s),
    ) as driver:
        case = make_case("hamming", size, COUNT, WORD_BYTES, _SEED + size)
        found = [simulate(driver, case, bubbles, limit_s) for bubbles in _BUBBLES]
    kept.keep(key, {"found": [_plain(each) for each in found]})
    return found


def _plain(found: Cosim) -> dict[str, Any]:
    return {"cycles": found.cycles, "mismatches": found.mismatches}


def build(tool: Tool, size: int, folder: Path, limit_s: float) -> None:
    """Make the driver of an array of `size` elements in a folder.

    Raises:
        ToolFailed: verilator or the compiler fails, or builds nothing.
        WriteError: the folder can't be written.
    """
    try:
        for name, text in sources().items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise errors.WriteError(
            f"{folder} can't be written: {error.strerror}", remedy="free space there"
        ) from error
    command = [
        *(tool.command, "--cc", "--exe", "--build", "-j", str(os.cpu_count() or 1)),
        *tool.options,
        # One unit to compile, as all would read the same headers; no time for the library, which
        # hardly runs. -O1 takes half of verilator's -Os, which comes after CFLAGS, and is as fast.
        *("--output-split", "0", "-MAKEFLAGS", "OPT_GLOBAL=-O0", "-MAKEFLAGS", "OPT_FAST=-O1"),
        *("-O3", "--top-module", "matcher", f"-GP={size}"),
        *("--Mdir", "made", "-o", f"../{_DRIVER}", *sources()),
    ]
    said = run_tool(command, limit_s=limit_s, folder=folder, environment=tool.environment)
    if not (folder / _DRIVER).is_file():
        raise ToolFailed(
            "verilator built nothing",
            log=said[-400:],
            remedy=f"reinstall it; it is {tool.command}",
        )
    shutil.rmtree(folder / "made", ignore_errors=True)  # 5 MB of objects


def simulate(driver: Path, case: Case, bubbles: int, limit_s: float) -> Cosim:
    """Give the twin a case, with so many of 256 cycles left empty.

    Raises:
        ToolFailed: the driver crashed, did not end in time, or is none.
    """
    with tempfile.TemporaryDirectory(prefix="deepseek-fpga-") as name:
        file = Path(name) / "case"
        shape = np.array([len(case.queries), len(case.gallery)], "<u4")
        file.write_bytes(shape.tobytes() + case.queries.tobytes() + case.gallery.tobytes())
        said = run_tool([str(driver), str(file), str(bubbles)], limit_s=limit_s)
    try:
        first, *lines = said.splitlines()
        cycles = int(first.split()[1])
        lists = np.array([line.split() for line in lines], dtype=np.int64)
        lists = lists.reshape(len(case.queries), 4)
    except (ValueError, IndexError, OverflowError) as error:
        raise ToolFailed(
            f"what was built is not a simulation: it said {said[:80]!r}",
            log=said[-400:],
            remedy="reinstall verilator and g++",
        ) from error
    wrong = case.mismatches(lists[:, [1, 3]], lists[:, [0, 2]])
    return Cosim(cycles=cycles, mismatches=wrong)


def _figures(size: int, found: Sequence[Cosim], tool: Tool) -> list[Figure]:
    basis = f"{_BASIS}, {tool.version}"
    wrong = sum(each.mismatches for each in found)
    return [
        Figure(name=f"II P={size}", value=found[0].cycles / COUNT, unit="cycles", basis=basis),
        Figure(name=f"mismatches P={size}", value=wrong, unit=f"of {2 * size} lists", basis=basis),
    ]


def _faults(size: int, found: Sequence[Cosim]) -> list[str]:
    wrong = sum(each.mismatches for each in found)
    faults = [f"P = {size}: {wrong} wrong lists"] if wrong else []
    if found[0].cycles > MOST_II * COUNT:
        interval = found[0].cycles / COUNT
        faults.append(f"P = {size}: II is {interval:.3f}, and {MOST_II} is allowed")
    return faults
