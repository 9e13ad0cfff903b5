"""Writes the file that inspects: preprocessing, network and scores in one graph."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
import numpy as np

from deepseek_apps.defects import graphs, precision
from deepseek_apps.defects.deployed import After, Before
from deepseek_apps.defects.exported import MODEL, Inspection, write_inspection
from deepseek_apps.defects.kept import Kept
from deepseek_apps.defects.options import Options
from deepseek_apps.defects.precision import WHOLE
from deepseek_apps.defects.scoring import said_by_file
from deepseek_apps.defects.thresholds import choose
from deepseek_apps.defects.trained import trained_network
from deepseek_core import Artifact, applications

_COMPARED = 4  # pictures that the file and torch must agree on
_BEFORE, _AFTER = "before.onnx", "after.onnx"


def export(
    seed: int, target: Path, options: Options, context: applications.ApplicationContext
) -> Sequence[Artifact]:
    """Write `model.onnx` and `inspection.json` into `target`.

    Raises:
        InputError: a seed that was not trained, or with other data.
        GraphError: the file does not say what the trained network says.
    """
    kept = Kept(context.data)
    network = trained_network(context.seed(seed), kept, options)
    with TemporaryDirectory(prefix="export-", dir=context.folder) as name:
        made = Path(name)
        files = {WHOLE: _whole(network, kept, options, made)}
        budget: Sequence[Mapping[str, Any]] = ()
        if options.int8 == "auto":
            files["int8"] = _joined(made, precision.lowered(made, kept, context), "int8")
        if options.macs:
            found, budget = precision.smaller(made / "smaller", seed, kept, options, context)
            files |= {name: _joined(made, path, name) for name, path in found.items()}
        choice = _chosen(files, kept, budget)
        shipped = files[choice.shipped]
        threshold = _threshold(shipped, kept, options)
        shutil.copyfile(shipped, target / MODEL)
    write_inspection(
        target,
        Inspection(
            classes=kept.classes, threshold=threshold, recall=options.recall, colors=kept.colors,
            crop=kept.items.crop, deadline_ms=options.deadline_ms, decode_s=options.decode_s,
            split_hash=kept.items.split_hash, seed=seed, precision=attrs.asdict(choice),
        ),
    )  # fmt: skip
    return (Artifact.from_path(target / MODEL),)


def _chosen(
    files: Mapping[str, Path], kept: Kept, budget: Sequence[Mapping[str, Any]]
) -> precision.Choice:
    """What ships, and how good that is on the test part, on which nothing was chosen."""
    if len(files) == 1:
        return precision.Choice(shipped=WHOLE, why="no other file was asked for")
    choice = precision.choose(files, kept)
    test = {
        name: precision.auroc_of(files[name], kept, "test")
        for name in sorted({WHOLE, choice.shipped})
    }
    return attrs.evolve(choice, test=test, budget=budget)


def _whole(network: Any, kept: Kept, options: Options, folder: Path) -> Path:
    """The three parts and the whole; the whole is compared with torch."""
    import torch

    crop: Any = tuple(kept.items.crop)
    before, after = Before(kept.size, crop, options.views), After(options.views)
    pictures = [np.array(kept.pictures[row]) for row in kept.rows("test")[:_COMPARED]]
    with torch.inference_mode():
        seen = [before(torch.from_numpy(picture)) for picture in pictures]
        said = [network(x) for x in seen]
        answers = [[each.numpy() for each in after(*one)] for one in said]
    example = torch.zeros(2, kept.colors + 1, *kept.size)
    graphs.write_before(before, kept.colors, folder / _BEFORE)
    graphs.write_network(network, example, folder / "network.onnx")
    graphs.write_after(after, tuple(each.clone() for each in said[0]), folder / _AFTER)
    path = _joined(folder, folder / "network.onnx", WHOLE)
    graphs.check_parity(path, pictures, answers)
    return path


def _joined(folder: Path, network: Path, name: str) -> Path:
    """A network between what is before it and what follows it, as one file."""
    path = folder / f"{name.replace(' ', '-')}.onnx"
    graphs.join(folder / _BEFORE, network, folder / _AFTER, path)
    return path


def _threshold(path: Path, kept: Kept, options: Options) -> float:
    """The threshold of the file that ships, chosen on validation."""
    rows = kept.rows("validation")
    scores = said_by_file(path, kept, rows).scores
    return choose(scores, kept.classes_of[rows] > 0, options.recall).score
