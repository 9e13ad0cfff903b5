"""What can be proven of the FPGA matcher without a board: cycles, area, throughput by formula.

10,000 random descriptors for arrays of 8, 16 and 32 elements of the Verilog twin in verilator, each
list against exact numpy; the area of the twin by yosys; the model's figures, with its clock.

    python benchmarks/fpga_proof.py [--json FILE]

A tool that is not installed is said, and is no claim that fails.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _report import Report, print_head, versions

LIMIT_S = 600.0


def main() -> int:
    from deepseek_core import console
    from deepseek_fpga.proof.area import check_area
    from deepseek_fpga.proof.board import Board
    from deepseek_fpga.proof.cosim import MOST_II, check_cosim
    from deepseek_fpga.proof.kept import Kept
    from deepseek_fpga.proof.throughput import check_throughput

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    report = Report(versions=versions(["deepseek-fpga", "numpy"]))
    print_head("The FPGA matcher without a board", report.versions)
    kept = Kept(console.cache_dir() / "fpga" / "proof")
    results = [
        check_cosim("hamming", kept, limit_s=LIMIT_S),
        check_area("hamming", kept, limit_s=LIMIT_S),
        check_throughput("hamming", Board()),
    ]
    for result in results:
        print(f"\n{result.rung.id} {result.rung.title}: {result.state} {result.why}".rstrip())
        for figure in result.figures:
            print(f"  {figure.text}")
    for figure in results[0].figures:
        if figure.name.startswith("II"):
            report.at_most(f"{figure.name}, in RTL simulation", figure.value, MOST_II, "")
        else:
            report.at_most(f"{figure.name} {figure.unit}", figure.value, 0, "")
    modeled = results[2].figures
    named = sum("model" in f.text and "MHz assumed" in f.text for f in modeled) / len(modeled)
    report.at_least("figures of the model with the word and the clock, share", named, 1.0, "")
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
