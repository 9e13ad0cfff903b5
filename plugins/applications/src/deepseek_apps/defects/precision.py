"""Which file ships: what was measured, on validation parts and on this processor.

Legend: N pictures, h x w px of the network, C colors.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
import numpy as np

from deepseek_apps.defects import measures, shrinking
from deepseek_apps.defects.scoring import said_by_file
from deepseek_apps.defects.trained import WEIGHTS
from deepseek_apps.shared import recipes
from deepseek_core import applications

if TYPE_CHECKING:
    from deepseek_apps.defects.kept import Kept
    from deepseek_apps.defects.options import Options

WHOLE: Final = "fp32"  # the network as it was trained
FASTER: Final = 0.9  # of its time, or another file does not ship
MOST_LOST: Final = 0.005  # of its AUROC on validation
_CALIBRATION: Final = 256  # pictures
_ROUNDS: Final = 60
_SMALL_FP32, _INT8 = "model.fp32.onnx", "model.ort_x86.onnx"
_RECIPE: Final[Mapping[str, Any]] = {
    "model": {"path": "network.onnx"},
    "data": {"calibration": "calibration.npz"},
    "lower": [{"use": "ort_x86"}],
}


@attrs.frozen(kw_only=True)
class Choice:
    """What ships and why, of each file by name.

    `ms`: milliseconds of CPU time of one picture. `auroc`: on validation, by which was chosen.
    `test`: on the test part, of the network as it was trained and of what ships. `budget`: what
    became of the smaller network's.
    """

    shipped: str
    why: str
    ms: Mapping[str, float] = attrs.field(factory=dict)
    auroc: Mapping[str, float] = attrs.field(factory=dict)
    test: Mapping[str, float] = attrs.field(factory=dict)
    budget: Sequence[Mapping[str, Any]] = ()


def lowered(folder: Path, kept: Kept, context: applications.ApplicationContext) -> Path:
    """The network of `folder`/network.onnx in int8, by a recipe of `ds-sdk compress run`.

    Ranges are those of pictures to train with, of all classes alike.

    Raises:
        DeepSeekError: the compression failed; has its last words.
    """
    _write_calibration(folder, kept)
    recipe = recipes.write_recipe(folder / "recipe.toml", _RECIPE)
    recipes.compress(recipe, folder / "out", context)
    return folder / "out" / _INT8


def smaller(
    folder: Path,
    seed: int,
    kept: Kept,
    options: Options,
    context: applications.ApplicationContext,
) -> tuple[dict[str, Path], Sequence[Mapping[str, Any]]]:
    """Networks within `options.macs`, in fp32 and int8 by name, and the lines of their budget.

    Raises:
        DeepSeekError: the compression failed; has its last words.
    """
    folder.mkdir()
    _write_calibration(folder, kept)
    shrinking.write_data(folder, kept, options, seed)
    tables = shrinking.recipe(context.seed(seed) / WEIGHTS, kept, options, MOST_LOST)
    report = recipes.compress(
        recipes.write_recipe(folder / "smaller.toml", tables), folder / "out", context
    )
    out = folder / "out"
    return {"smaller fp32": out / _SMALL_FP32, "smaller int8": out / _INT8}, report["verdict"]


def _write_calibration(folder: Path, kept: Kept) -> None:
    rows = kept.rows("train")
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(rows, min(_CALIBRATION, len(rows)), replace=False))
    x = kept.channels[chosen].astype(np.float32).transpose(0, 3, 1, 2)
    np.savez(folder / "calibration.npz", x=np.ascontiguousarray(x))


def choose(files: Mapping[str, Path], kept: Kept) -> Choice:
    """Measure whole graphs by name in turn, and say which one ships: the fastest that is as good.

    One of them is `WHOLE`, which ships where none is faster without a loss.
    """
    rows = kept.rows("validation")
    ms = median_ms(files, kept.pictures[rows[0]])
    auroc = {name: auroc_of(path, kept, "validation") for name, path in files.items()}
    told, fit = {}, []
    for name in sorted(set(files) - {WHOLE}, key=ms.__getitem__):
        ratio, lost = ms[name] / ms[WHOLE], auroc[WHOLE] - auroc[name]
        told[name] = (
            f"{name} takes {ratio:.2f} of fp32's time, and its AUROC on validation is {-lost:+.4f}"
        )
        if ratio > FASTER:
            told[name] += ": not measurably faster"
        elif not lost <= MOST_LOST:
            told[name] += ": too much is lost"
        else:
            fit.append(name)
    shipped = fit[0] if fit else WHOLE
    why = told[shipped] if fit else "; ".join(told.values())
    return Choice(shipped=shipped, why=why, ms=ms, auroc=auroc)


def auroc_of(path: Path, kept: Kept, part: str) -> float:
    """The AUROC of a whole graph on a part of the data."""
    rows = kept.rows(part)
    return measures.auroc(said_by_file(path, kept, rows).scores, kept.classes_of[rows] > 0)


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
