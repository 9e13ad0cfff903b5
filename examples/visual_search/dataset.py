"""DeepPCB crops: pictures of printed-circuit boards, split by board.

Legend: N pictures of 64 x 64 pixels, uint8, 0 (background) or 255 (copper).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

PATH = Path(__file__).parent / "data" / "deeppcb_crops64.npz"
PICTURE_SIDE = 64  # pixels
NUM_QUERY_BOARDS = 300
SPLIT_SEED = 1


@dataclass(frozen=True, kw_only=True)
class Crops:
    """Pictures with their class and the board they were cut from."""

    images: npt.NDArray[np.uint8]
    """Pictures [N, 64, 64], 0 or 255."""
    labels: npt.NDArray[np.uint8]
    """Class numbers [N], places in `class_names`."""
    boards: npt.NDArray[np.uint16]
    """Board numbers [N]."""
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: npt.NDArray[np.bool_ | np.int64]) -> "Crops":
        """Return the pictures that a mask or an index array chooses."""
        return Crops(
            images=self.images[chosen],
            labels=self.labels[chosen],
            boards=self.boards[chosen],
            class_names=self.class_names,
        )


def load_crops(path: Path = PATH) -> Crops:
    """Read and unpack all 14,446 pictures (59 MB).

    Raises:
        FileNotFoundError: when the file is missing.
        KeyError: when it lacks a field.
    """
    with np.load(path, allow_pickle=False) as file:
        packed, labels, boards = file["bits"], file["y"], file["board"]
        class_names = tuple(str(name) for name in file["classes"])
    bits = np.unpackbits(packed, axis=1).reshape(-1, PICTURE_SIDE, PICTURE_SIDE)
    images = bits * np.uint8(255)
    return Crops(images=images, labels=labels, boards=boards, class_names=class_names)


def split_by_board(
    crops: Crops, *, num_query_boards: int = NUM_QUERY_BOARDS, seed: int = SPLIT_SEED
) -> tuple[Crops, Crops]:
    """Return (gallery, queries); no board is in both.

    Crops of one board overlap and look alike: a split by crop would let a query find itself. The
    default puts 300 boards (2,877 crops) into the queries and 1,200 (11,569) into the gallery.

    Raises:
        ValueError: when the queries would take all boards or none.
    """
    boards = np.unique(crops.boards)
    if not 0 < num_query_boards < len(boards):
        raise ValueError(f"query boards must be 1 to {len(boards) - 1}, not {num_query_boards}")
    shuffled = np.random.default_rng(seed).permutation(boards)
    unseen = np.isin(crops.boards, shuffled[:num_query_boards])
    return crops.take(~unseen), crops.take(unseen)
