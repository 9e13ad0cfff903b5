"""The promises of an application, for this one; on parts that are drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from deepseek_core.testing import ApplicationConformance

_SIDE = 32  # px
_EACH = 6  # pictures of a sort


class TestDefects(ApplicationConformance):
    """Inspection: a bright spot on gray noise is a defect."""

    plugin = "applications"
    name = "defects"
    waivers: ClassVar[Mapping[str, str]] = {
        "test_using_it_leaves_the_process_as_it_was": "torch names a cache by a variable",
        "test_using_it_writes_only_where_it_may": "torch makes the folder of a cache",
    }
    options: ClassVar[Mapping[str, Any]] = {
        "size": 32, "width": 4, "steps": 6, "batch": 4, "folds": 3, "int8": "never",
        "precision": "fp32", "timed": False,
    }  # fmt: skip

    def source(self, folder: Path) -> Path:
        """Good parts, and some with a spot."""
        return _written(folder, {"good": 2 * _EACH, "spot": _EACH})

    def inputs(self, folder: Path) -> Sequence[Path]:
        """Two pictures, and one of another size."""
        whole = _written(folder, {"spot": 2})
        _save(folder / "large.png", _part(True, 9, 2 * _SIDE))
        return [*sorted((whole / "spot").iterdir()), folder / "large.png"]

    def unfit(self, folder: Path) -> Sequence[Path]:
        """Good parts alone, an empty folder, files that are no pictures, and no folder."""
        (folder / "empty").mkdir()
        damaged = _written(folder / "damaged", {"good": 3, "spot": 3})
        for file in (damaged / "good").iterdir():
            file.write_bytes(b"no picture")
        return [_written(folder / "one", {"good": 3}), folder / "empty", damaged, folder / "none"]


def _written(folder: Path, counts: Mapping[str, int]) -> Path:
    for kind, count in counts.items():
        for number in range(count):
            _save(folder / kind / f"{number}.png", _part(kind == "spot", number, _SIDE))
    return folder


def _part(has_spot: bool, number: int, side: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng((int(has_spot), number))
    picture = rng.normal(110, 8, (side, side))
    if has_spot:
        top, left = rng.integers(2, side - 8, 2)
        picture[top : top + 6, left : left + 6] += 90
    return np.clip(picture, 0, 255).astype(np.uint8)


def _save(path: Path, picture: np.ndarray[Any, Any]) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
