"""Writes pictures of printed-circuit boards as `ds-sdk app defects` reads them.

    python boards.py FOLDER [--each N] [--kinds open,short,...]

FOLDER/good, FOLDER/open, ... get N crops each; FOLDER/groups.csv names the board that each is of,
so that no board is trained with and judged by. The crops are those of DeepPCB (Tang 2019, MIT; see
examples/visual_search/data/README.md), which has no masks for them.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

CROPS = Path(__file__).resolve().parents[2] / "visual_search" / "data" / "deeppcb_crops64.npz"
SIDE = 64  # px


def write(folder: Path, kinds: list[str], each: int) -> int:
    """Write so many crops of each kind, and of good places; returns how many these are."""
    with np.load(CROPS) as found:
        bits, y, board = found["bits"], found["y"], found["board"]
        names = [str(name) for name in found["classes"]]
    lines = ["picture,group"]
    for kind in ("background", *kinds):
        place = folder / ("good" if kind == "background" else kind)
        place.mkdir(parents=True, exist_ok=True)
        rows = np.flatnonzero(y == names.index(kind))
        for row in rows[:: max(1, len(rows) // each)][:each]:
            picture = np.unpackbits(bits[row]).reshape(SIDE, SIDE) * np.uint8(255)
            Image.fromarray(picture).save(place / f"{row}.png")
            lines.append(f"{place.name}/{row}.png,board{board[row]}")
    (folder / "groups.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return len(lines) - 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--each", type=int, default=150, metavar="N", help="crops of each kind")
    parser.add_argument("--kinds", default="open,short,mousebite", help="kinds of defects")
    arguments = parser.parse_args()
    count = write(arguments.folder, arguments.kinds.split(","), arguments.each)
    print(f"{count} pictures in {arguments.folder}")
