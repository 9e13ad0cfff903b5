"""The operators that the matcher runs, and what a stage says of their sizes."""

from __future__ import annotations

from typing import Final

from deepseek_core import Operation, Stage, errors
from deepseek_fpga.variants import Metric

DOMAIN: Final = "ai.deepseek"

# Of a gallery that comes with each run; assumed, and covered by the sigma of estimates.
_UNKNOWN_ROWS: Final = 10_000
_UNKNOWN: Final = ("rows", "width")

_METRICS: Final[dict[tuple[str, str], Metric]] = {
    ("MatchL2", "float32"): "l2_f32",
    ("MatchL2", "int8"): "l2_i8",
    ("MatchHamming", "uint8"): "hamming",
}


def metric_of(operation: Operation) -> Metric | None:
    """The matcher's metric for an operation; None if it is none of ours."""
    if operation.domain != DOMAIN or len(operation.inputs) != 3:
        return None
    return _METRICS.get((operation.name, operation.inputs[0].dtype))


def rows_and_width(stage: Stage, operation: Operation) -> tuple[int, int]:
    """Rows of the gallery and elements of a row."""
    gallery = operation.inputs[1]
    known = stage.constants.get(gallery.name)
    shape = gallery.shape if known is None else known.shape
    rows, width = (dim if isinstance(dim, int) else _UNKNOWN_ROWS for dim in shape or _UNKNOWN)
    return rows, width


def check_operands(stage: Stage, device_id: str) -> None:
    """Refuse a stage whose matrices lie inside the model's file, which is not read here.

    Raises:
        Unsupported: an operand is not an input, no constant and no result of the stage.
    """
    known = {spec.name for spec in stage.inputs} | stage.constants.keys()
    for operation in stage.operations:
        lost = [spec.name for spec in operation.inputs if spec.name not in known]
        if lost:
            raise errors.Unsupported(
                f"{device_id}: {', '.join(lost)} of {operation.qualified_name} lies in the model's "
                "file, and has to be an input",
                device_id=device_id,
                remedy=f"make it an input of the model, and give it by --constant {lost[0]}",
            )
        known |= {spec.name for spec in operation.outputs}
