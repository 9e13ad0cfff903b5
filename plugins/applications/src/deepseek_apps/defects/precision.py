"""int8 or fp32: what ships is what was measured, on validation parts and on this processor.

Legend: N pictures, h x w px of the network, C colors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from deepseek_apps.defects import measures
from deepseek_apps.defects.scoring import said_by_file
from deepseek_apps.shared import recipes
from deepseek_core import applications

if TYPE_CHECKING:
    from deepseek_apps.defects.kept import Kept

FASTER: Final = 0.9  # of fp32's time, or int8 does not ship
MOST_LOST: Final = 0.005  # of the AUROC on validation
_CALIBRATION: Final = 256  # pictures
_ROUNDS: Final = 60
_LOWERED: Final = "model.ort_x86.onnx"
_RECIPE: Final[Mapping[str, Any]] = {
    "model": {"path": "network.onnx"},
    "data": {"calibration": "calibration.npz"},
    "lower": [{"use": "ort_x86"}],
}


@attrs.frozen(kw_only=True)
class Choice:
    """What ships and why: milliseconds of CPU time and AUROC on validation of each precision."""

    shipped: str
    why: str
    ms: Mapping[str, float] = attrs.field(factory=dict)
    auroc: Mapping[str, float] = attrs.field(factory=dict)


def lowered(folder: Path, kept: Kept, context: applications.ApplicationContext) -> Path:
    """The network of `folder`/network.onnx in int8, by a recipe of `ds-sdk compress run`.

    Ranges are those of pictures to train with, of all classes alike.

    Raises:
        DeepSeekError: the compression failed; has its last words.
    """
    rows = kept.rows("train")
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(rows, min(_CALIBRATION, len(rows)), replace=False))
    x = kept.channels[chosen].astype(np.float32).transpose(0, 3, 1, 2)
    np.savez(folder / "calibration.npz", x=np.ascontiguousarray(x))
    recipe = recipes.write_recipe(folder / "recipe.toml", _RECIPE)
    recipes.compress(recipe, folder / "out", context)
    return folder / "out" / _LOWERED


def choose(files: Mapping[str, Path], kept: Kept) -> Choice:
    """Measure the whole graphs by name, "fp32" and "int8", in turn, and say which one ships."""
    rows = kept.rows("validation")
    ms = median_ms(files, kept.pictures[rows[0]])
    defects = kept.classes_of[rows] > 0
    auroc = {
        name: measures.auroc(said_by_file(path, kept, rows).scores, defects)
        for name, path in files.items()
    }
    ratio, lost = ms["int8"] / ms["fp32"], auroc["fp32"] - auroc["int8"]
    told = f"int8 takes {ratio:.2f} of fp32's time, and its AUROC on validation is {-lost:+.4f}"
    if ratio > FASTER:
        return Choice(shipped="fp32", why=f"{told}: not measurably faster", ms=ms, auroc=auroc)
    if lost > MOST_LOST:
        return Choice(shipped="fp32", why=f"{told}: too much is lost", ms=ms, auroc=auroc)
    return Choice(shipped="int8", why=told, ms=ms, auroc=auroc)


def median_ms(files: Mapping[str, Path], picture: Any) -> dict[str, float]:
    """Median milliseconds of CPU time of one picture at one thread, the files in turn.

    What else the machine does would decide by wall time.
    """
    from deepseek_apps.shared.ort import ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    sessions = {
        name: ort.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        for name, path in files.items()
    }
    taken: dict[str, list[float]] = {name: [] for name in files}
    for _ in range(_ROUNDS):
        for name, session in sessions.items():
            start_s = time.thread_time()
            session.run(None, {session.get_inputs()[0].name: picture})
            taken[name].append(1e3 * (time.thread_time() - start_s))
    return {name: float(np.median(found)) for name, found in taken.items()}
