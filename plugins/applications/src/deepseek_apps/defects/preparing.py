"""Reads and checks a user's pictures, deals them into parts, and keeps them at one size.

Legend: N pictures, H x W px of a file, h x w px of the network, C colors.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

from deepseek_apps.defects import alike
from deepseek_apps.defects.dealing import check_parts, deal
from deepseek_apps.defects.decoder import Decoder
from deepseek_apps.defects.folder import Folder, Item, read_folder
from deepseek_apps.defects.kept import CHANNELS, MASKS, PICTURES, Items, write_items
from deepseek_apps.defects.network import STRIDE
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.reading import read_mask
from deepseek_apps.shared.leaks import connected
from deepseek_apps.shared.splits import Split
from deepseek_core import applications, console, errors

_MOST_LOST: Final = 0.05  # of the pictures may be unreadable
_TOLD: Final = 3
_BLOCK: Final = 64  # pictures at once

Array = np.ndarray[Any, Any]
Progress = Callable[[int, int, str], None]


@attrs.frozen(kw_only=True, eq=False)
class _Read:
    """The pictures that could be read, row by row, and what was found out about each."""

    items: tuple[Item, ...]
    pictures: Array  # uint8 [N, h, w, C]
    masks: Array  # bool [N, h, w]
    contents: tuple[str, ...]
    textures: Array  # float32 [N, n]
    lost: tuple[str, ...]
    empty_masks: tuple[str, ...]


def prepare(
    source: Path, options: Options, context: applications.ApplicationContext
) -> applications.DataCard:
    """Leave `context.data`, whole or not at all, and tell what it holds.

    Raises:
        InputError: a folder that lacks something, a mask that does not fit its picture, or more
            than 5 % of the pictures can't be read.
        WriteError: the work folder can't be written.
    """
    folder = read_folder(source, options.group_by)
    try:
        context.folder.mkdir(parents=True, exist_ok=True)
        place = Path(tempfile.mkdtemp(prefix="data-", dir=context.folder))
    except OSError as error:
        raise _not_written(context.folder, error) from error
    try:
        card = _prepared(folder, options, place, context.progress)
        _in_place(place, context.data)
    except OSError as error:
        raise _not_written(context.folder, error) from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return card


def _not_written(folder: Path, error: OSError) -> errors.WriteError:
    return errors.WriteError(
        f"{folder} can't be written: {error.strerror or error}",
        remedy="free space, or choose another",
    )


def _in_place(made: Path, data: Path) -> None:
    """Put the new folder where the old one is; a reader finds one or the other."""
    made.chmod(0o755)
    if data.exists():
        old = made.with_name(f"{made.name}-old")
        data.rename(old)
        made.rename(data)
        shutil.rmtree(old, ignore_errors=True)
    else:
        made.rename(data)


def _prepared(
    folder: Folder, options: Options, place: Path, progress: Progress
) -> applications.DataCard:
    found = _read_all(folder, options, progress)
    names, labels = [i.name for i in found.items], [i.label for i in found.items]
    groups = [str(g) for g in connected([i.group for i in found.items], found.contents)]
    split = deal(names, labels, groups, count=options.folds, test=options.fold)
    check_parts(labels, split, folder.classes)
    parts = {row: part for part, rows in split.parts.items() for row in rows}
    items = Items(
        classes=folder.classes, crop=options.looked_at, split_hash=split.hash, names=names,
        labels=labels, groups=groups, parts=[parts[row] for row in range(len(names))],
        has_mask=[bool(mask.any()) for mask in found.masks],
    )  # fmt: skip
    np.save(place / PICTURES, found.pictures)
    np.save(place / CHANNELS, _channels(found.pictures))
    np.save(place / MASKS, found.masks)
    write_items(place, items)
    return applications.DataCard(
        source=options.source or folder.path.resolve().name,
        license=options.license,
        parts=split.counts,
        split=f"by part shown, classes spread evenly over {options.folds} folds: fold "
        f"{options.fold} is the test, the next one for validation",
        split_hash=split.hash,
        warnings=_warnings(found, split, items),
        notes=_notes(folder, found, items),
    )


def _read_all(folder: Folder, options: Options, progress: Progress) -> _Read:
    """Every picture at the network's size; those that can't be read are named and left out."""
    with Decoder(console.picture_size, options.decode_s) as sizes:
        size = network_size(folder, sizes, options)
    rows, lost = [], []
    with (
        Decoder(lambda file: console.read_picture(file, 3), options.decode_s) as decode,
        Decoder(read_mask, options.decode_s) as decode_mask,
    ):
        for number, item in enumerate(folder.items):
            progress(number, len(folder.items), f"reading {item.name}")
            try:
                levels = decode(folder.path / item.name)
            except errors.InputError as error:
                lost.append(str(error))
                continue
            mask = None if item.mask is None else decode_mask(item.mask)
            rows.append((item, *_at_size(levels, mask, item, (size, options.looked_at))))
    _check_lost(lost, len(folder.items))
    return _stacked(rows, lost)


def _check_lost(lost: Sequence[str], of: int) -> None:
    if len(lost) > _MOST_LOST * of:
        raise errors.InputError(
            f"{len(lost)} of {of} pictures can't be read, such as {lost[0]}",
            remedy="replace them, or take them away",
        )


def _at_size(levels: Array, mask: Array | None, item: Item, cut: Any) -> tuple[Any, ...]:
    """A picture and its mask at the network's size, and what the picture is known by."""
    import torch

    from deepseek_apps.defects.picture import Resampled

    size, crop = cut
    resampled = Resampled(size, crop)
    small = resampled(torch.from_numpy(levels))[0].permute(1, 2, 0).round()
    kept = small.clamp(0, 255).to(torch.uint8).numpy()
    shown = np.zeros(size, bool)
    if mask is not None:
        if mask.shape != levels.shape[:2]:
            raise errors.InputError(
                f"the mask {item.mask} is of {mask.shape[0]} x {mask.shape[1]} px, its picture "
                f"{item.name} of {levels.shape[0]} x {levels.shape[1]} (height x width)",
                remedy="save the mask at the size of its picture",
            )
        if item.label == 0 and mask.any():
            raise errors.InputError(
                f"{item.name} is good, and its mask {item.mask} marks a defect",
                remedy="put the picture into the folder of its defect, or take the mask away",
            )
        share = resampled(torch.from_numpy(mask[..., None].astype(np.uint8)))[0, 0]
        shown = (share > _least_share(float(share.max()))).numpy()
    return kept, shown, alike.content_of(levels), alike.texture_of(kept), mask is not None


def _channels(pictures: Array) -> Array:
    """What the network takes of each picture, float16 (N, h, w, C + 1)."""
    import torch

    from deepseek_apps.defects.picture import contrasted

    found = []
    for start in range(0, len(pictures), _BLOCK):
        levels = torch.from_numpy(pictures[start : start + _BLOCK]).permute(0, 3, 1, 2)
        found.append(contrasted(levels.float()).permute(0, 2, 3, 1).half().numpy())
    return np.concatenate(found)


def _least_share(most: float) -> float:
    """How much of a pixel must be marked: half, or less where no pixel has as much."""
    return min(0.5, most * 0.5) - 1e-6 if most > 0 else 0.5


def network_size(folder: Folder, size_of_file: Callable[[Path], Any], options: Options) -> Any:
    """Height and width of the network's picture: the median proportion, in whole strides."""
    ratios = []
    for item in folder.items:
        try:
            height, width = size_of_file(folder.path / item.name)
        except errors.InputError:
            continue  # told when it is decoded
        ratios.append(height / width)
    top, left, bottom, right = options.looked_at
    ratio = float(np.median(ratios or [1.0])) * (bottom - top) / (right - left)
    sides = (options.size * ratio**0.5, options.size / ratio**0.5)
    return tuple(max(2 * STRIDE, round(side / STRIDE) * STRIDE) for side in sides)


def _stacked(rows: Sequence[Any], lost: Sequence[str]) -> _Read:
    items, pictures, masks, contents, textures, masked = zip(*rows, strict=True)
    levels, shown = np.stack(pictures), np.stack(masks)
    gray = all((each == each[..., :1]).all() for each in levels)
    return _Read(
        items=items, pictures=levels[..., :1] if gray else levels, masks=shown,
        contents=contents, textures=np.stack(textures), lost=tuple(lost),
        empty_masks=tuple(
            item.name for item, mask, has in zip(items, shown, masked, strict=True)
            if has and item.label and not mask.any()
        ),
    )  # fmt: skip


def _warnings(found: _Read, split: Split, items: Items) -> list[str]:
    told = []
    if found.lost:
        told.append(
            f"{len(found.lost)} pictures can't be read and are left out: {_few(found.lost)}"
        )
    if found.empty_masks:
        told.append(
            f"{len(found.empty_masks)} masks mark nothing; these pictures count as such without "
            f"one: {_few(found.empty_masks)}"
        )
    equal = alike.equal_pairs(found.contents)
    torn = [(a, b) for a, b in equal if items.labels[a] != items.labels[b]]
    if torn:
        told.append(f"equal pictures lie in several classes: {_pairs(torn, items)}")
    if equal:
        told.append(
            f"{len(equal)} pictures are there twice, and kept together: {_pairs(equal, items)}"
        )
    others = np.asarray([*split.parts["validation"], *split.parts["test"]])
    close = alike.alike_pairs(found.textures, others, np.asarray(split.parts["train"]))
    if close:
        told.append(
            f"{len(close)} pictures to judge by look like one that is trained with, so the figures "
            f"may flatter: {_pairs(close, items)}; name the parts they show in groups.csv"
        )
    return told


def _notes(folder: Folder, found: _Read, items: Items) -> list[str]:
    counts = np.bincount(items.labels)
    sizes = ", ".join(f"{n} {c}" for n, c in zip(items.classes, counts, strict=True))
    height, width, colors = found.pictures.shape[1:]
    masked = sum(items.has_mask)
    told = [
        f"pictures: {sizes}; of {len(set(items.groups))} parts; masks of {masked} defects",
        f"kept at {height} x {width} px (height x width), {'gray' if colors == 1 else 'in color'}",
    ]
    if folder.left_out:
        told.append(f"{folder.left_out} files are no pictures by their names and were left out")
    return told


def _pairs(pairs: Sequence[tuple[int, int]], items: Items) -> str:
    return _few([f"{items.names[a]} and {items.names[b]}" for a, b in pairs])


def _few(texts: Sequence[str]) -> str:
    more = f" and {len(texts) - _TOLD} more" if len(texts) > _TOLD else ""
    return "; ".join(texts[:_TOLD]) + more
