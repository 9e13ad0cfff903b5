"""Data for the tests of defects: crops of real boards (MIT), and parts that are drawn here.

DeepPCB: see examples/visual_search/data/README.md. Drawn parts are gray noise with a bright spot
or a dark line, so that where the defect lies is known.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="the network is one of torch")
pytest.importorskip("PIL", reason="pictures are read by Pillow")

from PIL import Image

BOARDS = Path(__file__).parents[3] / "examples" / "visual_search" / "data" / "deeppcb_crops64.npz"


def drawn(kind: str, number: int, side: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """A drawn part, uint8 [side, side], and its mask: a spot for "spot", a line for "line"."""
    rng = np.random.default_rng((len(kind), ord(kind[0]), number))
    picture = rng.normal(110, 8, (side, side))
    mask = np.zeros((side, side), bool)
    top, left = rng.integers(4, side - 12, 2)
    if kind == "spot":
        mask[top : top + 6, left : left + 6] = True
        picture[mask] += 90
    elif kind == "line":
        mask[top : top + 2, 4:-4] = True
        picture[mask] -= 80
    return np.clip(picture, 0, 255).astype(np.uint8), mask


@pytest.fixture(scope="session")
def parts() -> Callable[..., Path]:
    """Write a folder of drawn parts: `parts(folder, good=9, spot=6, line=6)`; with their masks."""

    def write(folder: Path, *, masks: bool = True, **counts: int) -> Path:
        for kind, count in counts.items():
            for number in range(count):
                picture, mask = drawn(kind, number)
                save(folder / kind / f"{number:03d}.png", picture)
                if masks and mask.any():
                    save(folder / "masks" / kind / f"{number:03d}.png", mask * np.uint8(255))
        return folder

    return write


@pytest.fixture
def boards() -> Callable[..., Path]:
    """Write a folder of crops of real boards, with the boards that they are of as groups."""

    def write(folder: Path, *, each: int, kinds: tuple[str, ...] = ("open", "short")) -> Path:
        with np.load(BOARDS) as found:
            bits, y, board = found["bits"], found["y"], found["board"]
            classes = [str(name) for name in found["classes"]]
        rows = ["picture,group"]
        for kind, name in (("background", "good"), *((kind, kind) for kind in kinds)):
            of = np.flatnonzero(y == classes.index(kind))
            for row in of[:: len(of) // each][:each]:
                picture = np.unpackbits(bits[row]).reshape(64, 64) * np.uint8(255)
                save(folder / name / f"{row}.png", picture)
                rows.append(f"{name}/{row}.png,board{board[row]}")
        (folder / "groups.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
        return folder

    return write


def save(path: Path, picture: np.ndarray) -> None:
    """Write a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
