"""Answers of a trained network on prepared rows, with any of its modalities."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from deepseek_core import errors
from deepseek_fusion.job.items import Arrays, taken, there
from deepseek_fusion.job.kept import Prepared, read_facts
from deepseek_fusion.job.layout import BASELINE, JOINED
from deepseek_fusion.job.network import Network
from deepseek_fusion.job.training import TRAINED, WEIGHTS
from deepseek_fusion.model import FusionShape

_ROWS_AT_ONCE = 256


class Said(NamedTuple):
    """What a network said of N rows, as numpy; `vectors` and `single` by modality."""

    logits: Any
    vectors: dict[str, Any]


class Trained(NamedTuple):
    """A network with its weights, and what `trained.json` says of it."""

    network: Network
    facts: dict[str, Any]


def load_trained(folder: Path, which: str, prepared: Prepared) -> Trained:
    """Load the network that is called `joined` or `late` of what a training left.

    Raises:
        ArtifactError: it was not trained to its end, or on other data.
    """
    facts = read_facts(folder / TRAINED, remedy="train that seed first")
    if facts.get("split_hash") != prepared.split_hash:
        raise errors.ArtifactError(
            f"{folder} was trained on other data", remedy=f"rm -r {folder}, and train again"
        )
    form = prepared.form
    join = facts["join"] if which == JOINED else BASELINE
    network = Network(form, FusionShape(classes=len(form.labels), join=join, width=facts["width"]))
    load_weights(network, folder / WEIGHTS, f"{which}.")
    return Trained(network.eval(), facts)


def load_weights(network: Network, path: Path, prefix: str) -> None:
    """Load weights from those tensors of a file of safetensors whose names have the prefix.

    Raises:
        ArtifactError: it is missing, damaged, or of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        kept = load_file(path)
        own = {k.removeprefix(prefix): v for k, v in kept.items() if k.startswith(prefix)}
        network.load_state_dict(own)
    except (OSError, SafetensorError) as error:
        raise errors.ArtifactError(
            f"{path} can't be read: {error}", remedy="train that seed again"
        ) from error
    except RuntimeError as error:  # names or shapes of another network
        raise errors.ArtifactError(
            f"{path} is of another network or vocabulary: {str(error).splitlines()[-1].strip()}",
            remedy="train again on the data as they are prepared now",
        ) from error


def said_of(network: Network, arrays: Arrays) -> Said:
    """Answer all rows, each of which has one modality or more."""
    rows = len(next(iter(arrays.values())))
    logits, vectors = [], []
    with torch.inference_mode():
        for start in range(0, rows, _ROWS_AT_ONCE):
            some = taken(arrays, slice(start, start + _ROWS_AT_ONCE))
            answer = network({name: torch.from_numpy(values) for name, values in some.items()})
            logits.append(answer.logits.numpy())
            vectors.append([one.numpy() for one in answer.vectors])
    names = network.fusion.modalities
    joined = {name: np.concatenate([v[at] for v in vectors]) for at, name in enumerate(names)}
    return Said(np.concatenate(logits), joined)


def right_of(network: Network, arrays: Arrays, classes: Any, fallback: int) -> Any:
    """Tell which rows are answered rightly [N]; one without any modality gets the `fallback`."""
    names = network.fusion.modalities
    can = np.stack([there(arrays, name) for name in names]).any(0)
    answers = np.full(len(classes), fallback)
    if can.any():
        answers[can] = said_of(network, taken(arrays, can)).logits.argmax(1)
    return answers == classes
