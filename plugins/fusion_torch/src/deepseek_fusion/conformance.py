"""The promises of the job, tested by `ds-sdk check-plugin fusion_torch`."""

from __future__ import annotations

import csv
import wave
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from deepseek_core.testing import ApplicationConformance

_ROWS = 30
_WORDS = ("high", "low")
_RATE = 8000


def write_table(folder: Path, rows: int = _ROWS) -> Path:
    """Write small data: bright pictures with high tones, dark ones with low; some cells empty."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(0)
    lines = [["text", "picture", "sound", "label"]]
    for row in range(rows):
        kind = row % 2
        pixels = draw.integers(120 * (1 - kind), 120 * (1 - kind) + 120, (16, 12), np.uint8)
        Image.fromarray(pixels).save(folder / f"{row}.png")
        times = np.arange(800 + 10 * row) / _RATE
        tone = 0.4 * np.sin(2 * np.pi * times * (1200 - 900 * kind))
        _write_wave(folder / f"{row}.wav", tone + 0.05 * draw.standard_normal(len(times)))
        cells = [_WORDS[kind], f"{row}.png", f"{row}.wav"]
        cells[row % 3] = "" if row % 4 == 0 else cells[row % 3]
        lines.append([*cells, _WORDS[kind].upper()])
    with (folder / "table.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(lines)
    return folder


def _write_wave(path: Path, samples: Any) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(_RATE)
        file.writeframes((samples * 32767).clip(-32768, 32767).astype("<i2").tobytes())


class TestTrimodal(ApplicationConformance):
    """The job on small data."""

    plugin = "fusion_torch"
    name = "trimodal"
    options: ClassVar[Mapping[str, Any]] = {
        "epochs": 1, "batch": 8, "width": 8, "picture_size": 12, "seconds": 0.1, "longest_text": 6,
    }  # fmt: skip
    waivers: ClassVar[Mapping[str, str]] = {
        "test_using_it_leaves_the_process_as_it_was": "torch names a cache by a variable",
        "test_using_it_writes_only_where_it_may": "torch makes the folder of a cache",
    }

    def source(self, folder: Path) -> Path:
        """Two classes in three modalities."""
        pytest.importorskip("torch")
        return write_table(folder)

    def inputs(self, folder: Path) -> Sequence[Path]:
        """The same table, labels and all."""
        return [write_table(folder)]

    def unfit(self, folder: Path) -> Sequence[Path]:
        """One class, a damaged picture, a sound without samples, and no table."""
        one, damaged, silent = (write_table(folder / name, 8) for name in ("one", "bad", "none"))
        table = one / "table.csv"
        table.write_text(table.read_text(encoding="utf-8").replace("LOW", "HIGH"), encoding="utf-8")
        (damaged / "1.png").write_bytes((damaged / "1.png").read_bytes()[:60])
        _write_wave(silent / "1.wav", np.zeros(0))
        return [one, damaged, silent, folder / "nowhere.csv"]
