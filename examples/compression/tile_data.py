"""Magnetic tiles as samples: read and checked, dealt into folds, upscaled to 224 px.

The file is `magnetic_tile_96.npz`: x uint8 [N, 96, 96], y [N], the kind of defect with 0 for none,
and mask_packed uint8 [N, 1152], a bit for each pixel that belongs to one. The tiles are those of
Huang, Qiu and Yuan, "Surface defect saliency of magnetic tile" (The Visual Computer, 2018), from
github.com/abin24/Magnetic-tile-defect-datasets., which states no license ("welcome to use, cite"):
none of them comes with the SDK.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from deepseek_compress.samples.accept import read_npz
from deepseek_compress.samples.names import Expected
from deepseek_core import compression, errors

FILE = "magnetic_tile_96.npz"
SIDE, CELL = 224, 16  # px
PIXELS = (96, 96)
FREE = 0
FOLDS = 5
ALIKE, SAME_PLACE, SMALL = 0.6, 0.7, 0.2

Array = np.ndarray


def read(folder: Path | None = None) -> tuple[Array, Array, Array]:
    """All tiles, their kinds, and masks uint8 [N, 96, 96], from a folder or `$DEEPSEEK_DATA`.

    Tiles whose mask does not bear their kind out (two of 1,074) are left out.

    Raises:
        ConfigError: no folder is named.
        ArtifactError: the file is missing or damaged.
        InputError: it holds other arrays, or too few tiles of one sort.
    """
    place = folder or os.environ.get("DEEPSEEK_DATA")
    if not place:
        raise errors.ConfigError(
            f"the tiles do not come with the SDK, and nothing says where {FILE} lies",
            remedy="export DEEPSEEK_DATA=FOLDER",
        )
    path = Path(place) / FILE
    arrays = read_npz(path, Expected(where="the tiles"))
    wanted = {"x": PIXELS, "y": (), "mask_packed": (PIXELS[0] * PIXELS[1] // 8,)}
    count = len(arrays["y"]) if "y" in arrays and arrays["y"].ndim else 0
    for name, shape in wanted.items():
        found = arrays.get(name)
        if found is None or found.shape != (count, *shape) or found.dtype.kind not in "ui":
            told = "none" if found is None else f"{found.dtype} {list(found.shape)}"
            raise errors.InputError(
                f"{path}: {name} is {told}",
                remedy=f"save whole numbers of shape {['N', *shape]}; see {Path(__file__).name}",
            )
    masks = np.unpackbits(arrays["mask_packed"].astype(np.uint8), axis=1).reshape(-1, *PIXELS)
    kinds = arrays["y"].astype(np.int64)
    told = masks.any((1, 2)) == (kinds != FREE)
    _check_sorts(kinds[told], path)
    return arrays["x"][told].astype(np.uint8), kinds[told], masks[told]


def fold_asked() -> int:
    """The fold that `$TILES_FOLD` asks for, 0 without it.

    Raises:
        ConfigError: it is not a number.
    """
    asked = os.environ.get("TILES_FOLD", "0")
    if not asked.isdecimal():
        raise errors.ConfigError(f"TILES_FOLD is {asked!r}", remedy=f"use 0 to {FOLDS - 1}")
    return int(asked)


def _check_sorts(kinds: Array, path: Path) -> None:
    sorts = {"are free of defects": (kinds == FREE).sum(), "have one": (kinds != FREE).sum()}
    for sort, count in sorts.items():
        if count < FOLDS:
            raise errors.InputError(
                f"{path}: {count} tiles {sort}", remedy=f"give {FOLDS} or more of each sort"
            )


def parts(fold: int = 0, folder: Path | None = None) -> dict[str, "Tiles"]:
    """Tiles to train with, to choose on (validation) and to judge by (test), by name.

    Fold number `fold` is the test, the next one the validation. Of each kind there are about as
    many in each, and tiles that may show one surface twice are in the same.

    Raises:
        ConfigError: no such fold; and as `read`.
    """
    if not 0 <= fold < FOLDS:
        raise errors.ConfigError(f"fold is {fold}", remedy=f"use 0 to {FOLDS - 1}")
    x, kinds, masks = read(folder)
    place = (folds_of(kinds, surfaces_of(x, masks)) - fold) % FOLDS
    rows = {"test": place == 0, "validation": place == 1, "train": place > 1}
    return {name: Tiles(x[chosen], masks[chosen]) for name, chosen in rows.items()}


def surfaces_of(x: Array, masks: Array) -> Array:
    """A number for each tile, [N]; equal where two may show one surface in another light.

    They do if their fine texture correlates above 0.6, or small defects lie in one place (cosine
    of the masks above 0.7): the file does not say it.
    """
    fine = (x - smoothed(x.astype(np.float32), 2)).reshape(len(x), -1)
    small = np.where(masks.mean((1, 2), keepdims=True) < SMALL, masks, 0).astype(np.float32)
    alike = (_cosines(fine) > ALIKE) | (_cosines(small.reshape(len(x), -1)) > SAME_PLACE)
    found = np.arange(len(x))
    for one, other in zip(*np.nonzero(np.triu(alike, 1)), strict=True):
        found[found == found[other]] = found[one]
    return found


def _cosines(rows: Array) -> Array:
    units = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-9)
    return np.asarray(units @ units.T)


def folds_of(kinds: Array, surfaces: Array, seed: int = 0) -> Array:
    """The fold of each tile, [N]: large surfaces first, each where its kinds are rarest."""
    rng, found = np.random.default_rng(seed), np.empty(len(kinds), np.int64)
    total = np.maximum(np.bincount(kinds), 1)
    have = np.zeros((FOLDS, len(total)))
    names, sizes = np.unique(surfaces, return_counts=True)
    order = rng.permutation(len(names))
    for surface in names[order][np.argsort(-sizes[order], kind="stable")]:
        rows = surfaces == surface
        more = np.bincount(kinds[rows], minlength=len(total))
        worse = (((have + more) / total) ** 2 - (have / total) ** 2).sum(1)
        found[rows] = fold = int(np.argmin(worse))
        have[fold] += more
    return found


class Tiles:
    """Samples of the SDK's own contract: made as they are read, again for each seed if `varied`.

    x is float32 [n, 2, side, side]: the tile less its mean and over its spread, and its local
    contrast. Labels are int64 [n, side / 16, side / 16]: the cells that a defect touches.
    """

    def __init__(self, x: Array, masks: Array, side: int = SIDE, *, varied: bool = False) -> None:
        self.x, self.masks, self.side, self.varied = x, masks, side, varied

    def __len__(self) -> int:
        return len(self.x)

    @property
    def defects(self) -> Array:
        """Whether each tile has one, bool [N]."""
        return np.asarray(self.masks.any((1, 2)))

    def at(self, side: int = SIDE, *, varied: bool = True) -> "Tiles":
        """The same tiles at another size, or varied."""
        return Tiles(self.x, self.masks, side, varied=varied)

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        """All tiles once; without a seed in their own order, and as they are."""
        rng = np.random.default_rng(seed)
        order = np.arange(len(self)) if seed is None else rng.permutation(len(self))
        for start in range(0, len(self), size):
            rows = order[start : start + size]
            x, masks = scaled(self.x[rows]), self.masks[rows]
            if self.varied and seed is not None:
                x, masks = drawn(x, masks, rng)
            x = np.stack([x, contrast(x)], 1)
            labels = cells(masks, self.side // CELL)
            yield compression.Batch(inputs={"x": upscaled(x, self.side)}, labels=labels)


def scaled(x: Array) -> Array:
    """Pixels as float32, each tile less its mean and over its spread."""
    values = x.astype(np.float32)
    values -= values.mean((1, 2), keepdims=True)
    return np.asarray(values / (values.std((1, 2), keepdims=True) + 1))


def contrast(x: Array) -> Array:
    """What a pixel differs from its surroundings by, in spreads of these; float32."""
    found = x - smoothed(x, 4)
    return np.asarray(found / (np.sqrt(smoothed(found**2, 12)) + 0.05))


def drawn(x: Array, masks: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Tiles and their masks, mirrored, shifted by up to 8 px and lit at random."""
    both = np.stack([x, masks], 1)
    for row, tile in enumerate(both):
        steps = rng.choice([-1, 1], 2)
        mirrored = tile[:, :: steps[0], :: steps[1]]
        padded = np.pad(mirrored, ((0, 0), (8, 8), (8, 8)), mode="reflect")
        top, left = rng.integers(0, 17, 2)
        both[row] = padded[:, top : top + PIXELS[0], left : left + PIXELS[1]]
    gain = rng.uniform(0.8, 1.25, (len(x), 1, 1)).astype(np.float32)
    light = rng.normal(0, 0.1, (len(x), 1, 1)).astype(np.float32)
    return both[:, 0] * gain + light, both[:, 1] > 0.5


def smoothed(x: Array, radius: int) -> Array:
    """Means over squares of 2 radius + 1 px, [N, H, W]; at the border over what is inside."""
    found = torch.from_numpy(x)[:, None]
    for size, padding in (((2 * radius + 1, 1), (radius, 0)), ((1, 2 * radius + 1), (0, radius))):
        found = functional.avg_pool2d(found, size, 1, padding, count_include_pad=False)
    return found[:, 0].numpy()


def upscaled(x: Array, side: int) -> Array:
    """Pictures of so many pixels a side, by bilinear interpolation."""
    return functional.interpolate(torch.from_numpy(x), (side, side), mode="bilinear").numpy()


def cells(masks: Array, count: int) -> Array:
    """Whether a mask touches each cell of a grid of count x count; int64 [N, count, count]."""
    pixels = torch.from_numpy(masks.astype(np.float32))[:, None]
    return functional.adaptive_max_pool2d(pixels, (count, count))[:, 0].long().numpy()
