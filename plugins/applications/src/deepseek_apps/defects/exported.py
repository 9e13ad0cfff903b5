"""What an export says beside its graph: `inspection.json`, read and checked.

model.onnx        uint8 [H, W, C] -> map [h / 4, w / 4], score [1], classes [K]
inspection.json   classes, threshold, deadline; which precision ships and why
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import errors

MODEL: Final = "model.onnx"
INSPECTION: Final = "inspection.json"
_SCHEMA: Final = 1


def _tuple(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Inspection:
    """How answers of the graph are read: a score of `threshold` and above stops a part."""

    classes: tuple[str, ...] = attrs.field(converter=_tuple)
    threshold: float
    recall: float
    colors: int
    crop: tuple[float, ...] = attrs.field(converter=_tuple)
    deadline_ms: float
    decode_s: float
    split_hash: str
    seed: int
    precision: dict[str, Any]

    def __attrs_post_init__(self) -> None:
        if len(self.classes) < 2 or self.colors not in (1, 3) or len(self.crop) != 4:
            raise ValueError("classes, colors or crop are none")
        if not all(map(math.isfinite, (self.threshold, self.deadline_ms, self.decode_s))):
            raise ValueError("a number is not finite")


def write_inspection(target: Path, inspection: Inspection) -> None:
    """Write it beside the graph."""
    from deepseek_core import console

    text = json.dumps({"schema": _SCHEMA, **attrs.asdict(inspection)}, indent=1)
    with console.whole_file(target / INSPECTION) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_inspection(target: Path) -> Inspection:
    """What `write_inspection` wrote.

    Raises:
        InputError: there is none, or it is damaged.
    """
    path = target / INSPECTION
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        if table.pop("schema") != _SCHEMA:
            raise ValueError("it is of another version")
        return Inspection(**table)
    except FileNotFoundError as error:
        raise errors.InputError(
            f"{target} holds no exported inspection", remedy="ds-sdk app defects export"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise errors.InputError(f"{path} can't be read: {error}", remedy="export again") from error
