"""A board that is not there: it is planned for by formula, and runs nothing.

The setting `what_if` describes it (`pes=48,clock_mhz=300`). Its id begins with `model:`, so that
whatever names it says what its figures are; it runs the Hamming matcher that the Verilog twin is
of: rows of up to 32 bytes, the two nearest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NoReturn

import attrs

from deepseek_core import (
    Device,
    DeviceInfo,
    Estimate,
    Executable,
    LoadOptions,
    OpenOptions,
    Operation,
    Stage,
    Support,
    Task,
    errors,
)
from deepseek_fpga.operators import DOMAIN, check_operands, metric_of, rows_and_width
from deepseek_fpga.proof.board import Board, parse_board
from deepseek_fpga.proof.cases import WORD_BYTES, K
from deepseek_fpga.proof.throughput import seconds
from deepseek_fpga.settings import Settings

DEVICE_ID: Final = "model:fpga"
# A formula that was never held against a board: a factor of 1.6 either way in 2 of 3 cases.
_SIGMA: Final = 0.5
_REMEDY: Final = (
    "plan with it only; to run, leave it out (DEEPSEEK_FPGA_OPENCL_WHAT_IF=) or use --device "
    "with one that is there"
)


def probe(settings: Mapping[str, object]) -> Iterable[DeviceInfo]:
    """The row of the board that is assumed."""
    return [_info(parse_board(Settings.of(settings).what_if))]


def _info(board: Board) -> DeviceInfo:
    text = ",".join(f"{name}={value:g}" for name, value in attrs.asdict(board).items())
    return DeviceInfo(
        id=DEVICE_ID,
        kind="fpga",
        name=f"board that is not there, {board.pes} elements ({board.basis})",
        evidence="model",
        fingerprint=f"what-if|{text}",
        driver="none",
        mem_bytes=board.memory_bytes,
    )


def open_what_if(device_id: str, options: OpenOptions) -> WhatIfDevice:
    """Open the board that the settings describe.

    Raises:
        ConfigError: they describe none that can be.
        DeviceUnavailable: the id is another one.
    """
    if device_id != DEVICE_ID:
        raise errors.DeviceUnavailable(
            f"there is no modeled board {device_id}, only {DEVICE_ID}",
            device_id=device_id,
            remedy="run `ds-sdk devices`",
        )
    return WhatIfDevice(parse_board(Settings.of(options.settings).what_if))


class WhatIfDevice(Device):
    """Answers what a stage would take; loads nothing."""

    def __init__(self, board: Board) -> None:
        self.info = _info(board)
        self._board = board

    def supports(self, operation: Operation) -> Support:
        """Matching of packed bits."""
        if metric_of(operation) == "hamming":
            return Support.yes()
        return Support.no(f"the modeled array runs {DOMAIN}::MatchHamming only")

    def estimate(self, task: Task) -> Estimate:
        """Seconds by the throughput model.

        Raises:
            Unsupported: rows or lists that the modeled array does not hold.
        """
        check_operands(task.stage, DEVICE_ID)
        total_s, nbytes = 0.0, 0
        for operation in task.stage.operations:
            rows, k = self._sizes(task.stage, operation)
            resident = operation.inputs[1].name in task.stage.constants
            total_s += seconds(self._board, queries=task.batch, rows=rows, k=k, resident=resident)
            nbytes += rows * WORD_BYTES if resident else 0
        return Estimate(seconds=total_s, sigma=_SIGMA, source="model", mem_bytes=nbytes)

    def load(self, stage: Stage, options: LoadOptions) -> Executable:
        """Nothing can be loaded on what is not there.

        Raises:
            DeviceUnavailable: always.
        """
        self._refuse(f"{stage.name} can't run on {DEVICE_ID}: that board is a model")

    def to_host(self, value: Any) -> Any:
        """Nothing ever lies on it."""
        self._refuse(f"nothing lies on {DEVICE_ID}: that board is a model")

    def close(self) -> None:
        """Nothing is held."""

    def _refuse(self, text: str) -> NoReturn:
        raise errors.DeviceUnavailable(text, device_id=DEVICE_ID, remedy=_REMEDY)

    def _sizes(self, stage: Stage, operation: Operation) -> tuple[int, int]:
        """Gallery rows and neighbors, if the array takes them."""
        rows, width = rows_and_width(stage, operation)
        known = stage.constants.get(operation.inputs[2].name)
        k = K if known is None else int(known.reshape(-1)[0])
        if width > WORD_BYTES or k > K:
            raise errors.Unsupported(
                f"the modeled array takes rows of up to {WORD_BYTES} bytes and keeps the {K} "
                f"nearest; {operation.qualified_name} has rows of {width} and wants {k}",
                device_id=DEVICE_ID,
            )
        return rows, k
