"""The promises of an application, for this one; visitors and their clicks are drawn here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from deepseek_core.testing import ApplicationConformance

_ROWS: Final = 600
_HEADER: Final = "region,browser,seconds,pages,clicked"


class TestCtr(ApplicationConformance):
    """Click prediction, by trees alone: they need no process of their own."""

    plugin = "applications"
    name = "ctr"
    options: ClassVar[Mapping[str, Any]] = {
        "target": "clicked", "categories": "region,browser", "models": "trees", "folds": 3,
        "tuning": "none",
    }  # fmt: skip

    def prepare(self, spec: Any, given: Any) -> None:
        """Import torch, and fit trees: joblib settles how processes start at its first fit."""
        from deepseek_apps.ctr.trees.boosting import BoostingSettings, Labeled, fit_boosting

        import_module("torch")
        few = Labeled(inputs=np.eye(4, dtype=np.float32), target=np.array([0, 1, 0, 1]))
        fit_boosting(few, BoostingSettings(rounds=1), seed=0)

    def source(self, folder: Path) -> Path:
        """Visitors, of whom those from the east with many pages click."""
        return _written(folder / "visits.csv", _lines(_ROWS))

    def inputs(self, folder: Path) -> Sequence[Path]:
        """Visitors of whom it is not known, one from a region that is new."""
        lines = [line.rpartition(",")[0] for line in _lines(20)]
        asked = _written(folder / "new.csv", [*lines, "nowhere,b1,3.5,2"], header=_HEADER[:-8])
        return [asked]

    def unfit(self, folder: Path) -> Sequence[Path]:
        """One class alone, a file of another encoding, and none."""
        damaged = _written(folder / "damaged.csv", _lines(100))
        damaged.write_bytes(damaged.read_bytes() + b"\xff\xfe;1\n")
        none_clicks = [f"{line[:-1]}0" for line in _lines(300)]
        return [_written(folder / "one.csv", none_clicks), damaged, folder / "none.csv"]


def _lines(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        region, pages = rng.choice(["east", "west", "north"]), rng.integers(1, 31)
        odds = 0.1 + 0.5 * (region == "east") + 0.3 * (pages > 15)
        seconds, browser = rng.exponential(100), f"b{rng.integers(1, 5)}"
        found.append(f"{region},{browser},{seconds:.2f},{pages},{int(rng.random() < odds)}")
    return found


def _written(path: Path, lines: Sequence[str], *, header: str = _HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path
