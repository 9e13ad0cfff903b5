"""The commands that build a kernel for a target; pure.

The options are those of the vendors' documents. Neither compiler was at hand: what they make of
the kernel is not known. AMD documents OpenCL C kernels up to Vitis 2021.2.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Final, Literal

from attrs import frozen

from deepseek_core import errors
from deepseek_fpga.variants import Form, Metric, Variant

Target = Literal["emulator", "aoc", "vpp"]
TARGETS: Final[tuple[Target, ...]] = ("emulator", "aoc", "vpp")
SOURCE: Final = "matcher.cl"

_FORMS: Final[dict[Target, Form]] = {"emulator": "channels", "aoc": "channels", "vpp": "single"}
_SUFFIXES: Final[dict[Target, str]] = {"emulator": "clbin", "aoc": "aocx", "vpp": "xclbin"}
_TOOLS: Final[dict[Target, tuple[str, str]]] = {
    "aoc": ("aoc", "install the Intel FPGA SDK for OpenCL and source its init_opencl.sh"),
    "vpp": ("v++", "install AMD Vitis (OpenCL C: up to 2021.2) and source its settings64.sh"),
}
_LISTS: Final[dict[Target, str]] = {"aoc": "aoc -list-boards", "vpp": "platforminfo -l"}
_BOARD: Final = re.compile(r"[A-Za-z0-9_./:][\w./:+-]{0,255}")
_ROWS, _VECS = 4, 1  # 64 elements; what fits a part is found by the report of its compiler


@frozen(kw_only=True)
class Recipe:
    """What is built, by which commands, in the output folder; the last makes `binary`."""

    target: Target
    variant: Variant
    board: str
    binary: str
    steps: tuple[tuple[str, ...], ...]
    tool: str
    """The program that has to be on the path; empty for the emulator."""
    missing: str
    """What to do where it is not."""
    report_only: bool = False
    """The commands stop before there is a binary."""

    @property
    def script(self) -> str:
        """The commands as a shell script."""
        lines = "\n".join(shlex.join(step) for step in self.steps)
        return f"#!/bin/sh\n# Builds {self.binary}; run it in this folder.\nset -e\n{lines}\n"


def recipe(
    target: Target,
    metric: Metric,
    board: str,
    *,
    report_only: bool = False,
    python: str = "python3",
) -> Recipe:
    """The recipe of a kernel for a target.

    Raises:
        ConfigError: a target that needs a board got none, or a name that is none.
    """
    if target == "emulator" and (board or report_only):
        raise errors.ConfigError(
            "the emulator has no boards and no reports", remedy="leave --board out, or use aoc"
        )
    if target != "emulator" and not _BOARD.fullmatch(board):
        raise errors.ConfigError(
            f"--target {target} needs the name of a board, got {board!r}",
            remedy=f"--board NAME; `{_LISTS[target]}` lists them",
        )
    variant = Variant(
        metric=metric,
        words={"l2_f32": "f32", "l2_i8": "i8", "hamming": "bits"}[metric],  # type: ignore[arg-type]
        rows=_ROWS,
        vecs=_VECS,
        form=_FORMS[target],
    )
    tool, missing = _TOOLS.get(target, ("", ""))
    return Recipe(
        target=target,
        variant=variant,
        board=board,
        binary=f"matcher_{metric}.{_SUFFIXES[target]}",
        steps=_steps(target, variant, board, python)[: 1 if report_only else None],
        tool=tool,
        missing=missing,
        report_only=report_only,
    )


def _steps(
    target: Target, variant: Variant, board: str, python: str
) -> tuple[tuple[str, ...], ...]:
    """The first step of a board's build ends with a report, the last with the binary."""
    name = f"matcher_{variant.metric}"
    macros = [word for word in variant.options.split() if word.startswith("-D")]
    if target == "aoc":
        built = ("aoc", f"-board={board}", *macros, SOURCE, "-o", f"{name}.aocx")
        report = (
            "aoc",
            "-rtl",
            "-report",
            f"-board={board}",
            *macros,
            SOURCE,
            "-o",
            f"{name}.aocr",
        )
        return report, built
    if target == "vpp":
        common = ("v++", "-t", "hw", "--platform", board)
        compiled = (*common, "-c", "-k", "match_single", *macros, "-o", f"{name}.xo", SOURCE)
        linked = (*common, "-l", "-o", f"{name}.xclbin", f"{name}.xo")
        return compiled, linked
    return (_emulated(variant, name, python),)


def _emulated(variant: Variant, name: str, python: str) -> tuple[str, ...]:
    request = json.dumps({"options": variant.options, "output": f"{name}.clbin"})
    return (python, "-m", "deepseek_fpga.building.emulate", request)
