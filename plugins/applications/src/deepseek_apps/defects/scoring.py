"""What models say of prepared pictures: scores, classes and maps, row by row.

Legend: N pictures, K classes of which 0 is good, h x w px.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

if TYPE_CHECKING:
    from deepseek_apps.defects.deployed import Scored
    from deepseek_apps.defects.kept import Kept

_BLOCK: Final = 64
Array = np.ndarray[Any, Any]


@attrs.frozen(kw_only=True, eq=False)
class Said:
    """Answers for N pictures: suspicion (N,), class (N,), and maps (N, h / 4, w / 4).

    `classes` is None of a model that tells no classes, `maps` of one that tells no places.
    """

    scores: Array
    classes: Array | None = None
    maps: Array | None = None


def said_by_network(scored: Scored, kept: Kept, rows: Array) -> Said:
    """What the network that ships says, on the pictures as `prepare` kept them."""
    import torch

    from deepseek_apps.defects.picture import contrasted

    found: list[tuple[Array, ...]] = []
    with torch.inference_mode():
        for start in range(0, len(rows), _BLOCK):
            levels = torch.from_numpy(kept.pictures[rows[start : start + _BLOCK]])
            answers = scored(contrasted(levels.permute(0, 3, 1, 2).float()))
            found.append(tuple(each.numpy() for each in answers))
    maps, scores, classes = (np.concatenate(each) for each in zip(*found, strict=True))
    return Said(scores=scores, classes=classes.argmax(1), maps=maps)


def said_by_file(path: Path, kept: Kept, rows: Array) -> Said:
    """What an exported file says of the same pictures, each alone, on this processor."""
    from deepseek_apps.shared.ort import ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    found = [session.run(None, {name: kept.pictures[row]}) for row in rows]
    maps, scores, classes = (np.stack(each) for each in zip(*found, strict=True))
    return Said(scores=scores[:, 0], classes=classes.argmax(1), maps=maps)


def pixels_of(maps: Array, shape: tuple[int, ...]) -> Array:
    """Maps at the size of masks (N, h, w): each cell for all of its pixels."""
    rows = np.arange(shape[1]) * maps.shape[1] // shape[1]
    columns = np.arange(shape[2]) * maps.shape[2] // shape[2]
    return np.asarray(maps[:, rows[:, None], columns[None]])
