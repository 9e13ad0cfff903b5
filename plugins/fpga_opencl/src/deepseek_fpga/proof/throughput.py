"""E4: what a board would do by formula: P x f / II, capped by memory banks and PCIe.

A model, not a measurement: each of its figures is made by `told`, which puts the word and the
assumed clock beside it.

Legend: P elements, f clock, II cycles a descriptor, W = 32 bytes a descriptor.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from deepseek_fpga.proof.board import Board
from deepseek_fpga.proof.cases import WORD_BYTES
from deepseek_fpga.proof.rung import Figure, RungResult, judged

_GB: Final = 1e9
_RESULT_BYTES: Final = 12  # index int64 and distance int32


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
