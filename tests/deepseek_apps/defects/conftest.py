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

EXAMPLE = Path(__file__).parents[3] / "examples" / "applications" / "defects" / "boards.py"


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
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("boards_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = module_from_spec(spec)
    spec.loader.exec_module(example)

    def write(folder: Path, *, each: int) -> Path:
        example.write(folder, ["open", "short"], each)
        return folder

    return write


def save(path: Path, picture: np.ndarray) -> None:
    """Write a PNG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
