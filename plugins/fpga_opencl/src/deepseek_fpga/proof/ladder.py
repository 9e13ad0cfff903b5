"""Climbs the rungs that are asked for, for each kernel, and tells after each how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from deepseek_core import DeepSeekError
from deepseek_fpga.proof.area import check_area
from deepseek_fpga.proof.board import Board
from deepseek_fpga.proof.cosim import SIZES, check_cosim
from deepseek_fpga.proof.reports.read import check_reports
from deepseek_fpga.proof.rung import RungResult, not_run
from deepseek_fpga.proof.runtimes import Bench, check_board, check_emulator, check_runtimes
from deepseek_fpga.proof.throughput import check_throughput
from deepseek_fpga.variants import Metric

TWINNED: Final[Metric] = "hamming"
"""The kernel that has a Verilog twin."""
_NO_TWIN: Final = f"only {TWINNED} has a Verilog twin"

Progress = Callable[[int, int, str], None]


@frozen(kw_only=True)
class Climb:
    """What to prove, and with what."""

    kernels: Sequence[Metric]
    rungs: Sequence[str]
    bench: Bench
    board: Board
    reports: Path | None = None
    sizes: Sequence[int] = SIZES
    """Elements of the arrays that are simulated."""

    def results(self, progress: Progress) -> Iterator[RungResult]:
        """One result for each kernel and rung, in that order."""
        todo = [(kernel, name) for kernel in self.kernels for name in self.rungs]
        for done, (kernel, name) in enumerate(todo):
            progress(done, len(todo), f"{name} of {kernel}")
            yield self._one(kernel, name)
        progress(len(todo), len(todo), "done")

    def _one(self, kernel: Metric, name: str) -> RungResult:
        if kernel != TWINNED and name in ("E2", "E3", "E4"):
            return not_run(name, kernel, _NO_TWIN, f"--kernel {TWINNED}")
        bench = self.bench
        checks: dict[str, Callable[[], RungResult]] = {
            "E0": lambda: check_runtimes(kernel, bench),
            "E1": lambda: check_emulator(kernel, bench),
            "E2": lambda: check_cosim(kernel, bench.kept, sizes=self.sizes, limit_s=bench.limit_s),
            "E3": lambda: check_area(kernel, bench.kept, limit_s=bench.limit_s),
            "E4": lambda: check_throughput(kernel, self.board),
            "E5": lambda: check_reports(kernel, self.reports),
            "E6": lambda: check_board(kernel, bench),
        }
        try:
            return checks[name]()
        except DeepSeekError as error:
            if name == "E5":  # a report that was named and can't be read is the user's to fix
                raise
            return not_run(name, kernel, error.message, error.remedy or "")
