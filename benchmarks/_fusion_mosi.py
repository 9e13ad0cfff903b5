"""CMU-MOSI utterances: a modality that misleads, with all subsets and with corrupted features.

Video features come from a network that was fitted on the training labels: they tell the training
part apart, in grouped cross-validation too, and not the test part. So nothing that sees the
training part alone can measure that they mislead; what can be done is to let nothing lean on one
modality. Tried, and all shown: the gate as it is; with modality dropout; and with features dropped
as well, most of all those that are not the words themselves. The data: Zadeh et al. 2016.
"""

from __future__ import annotations

import time
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MODALITIES = ("text", "audio", "video")
EPOCHS, BATCH, RATE = 15, 64, 3e-3


class Try(NamedTuple):
    """One way to train: join, share of modalities dropped, share of features dropped."""

    join: str
    modality_dropout: float
    feature_dropout: float
    auxiliary_dropout: float


TRIES = {
    "gate": Try("gate", 0.0, 0.3, 0.3),
    "gate, modality dropout": Try("gate", 0.5, 0.3, 0.3),
    "gate, modality and feature dropout": Try("gate", 0.5, 0.3, 0.95),
    "concatenation": Try("concatenation", 0.0, 0.3, 0.3),
    "softmax attention": Try("attention", 0.0, 0.3, 0.3),
    "late fusion": Try("late", 0.0, 0.3, 0.3),
}
CORRUPTIONS = ("audio noise", "video noise", "video of another row", "half of the words")


class Part(NamedTuple):
    """Features by modality as numpy, and labels."""

    features: dict[str, Any]
    labels: Any


def parts(folder: Path) -> dict[str, Part]:
    """Read both parts; vocabulary and scales are of the training part alone."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import StandardScaler

    kept = np.load(folder / "cmu_mosi_utterances.npz")
    train, test = kept["split"] == 0, kept["split"] == 1
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    words.fit(kept["transcript"][train])
    scales = {name: StandardScaler().fit(kept[name][train]) for name in ("audio", "video")}
    found = {}
    for part, rows in (("train", train), ("test", test)):
        features = {name: scale.transform(kept[name][rows]).astype(np.float32)
                    for name, scale in scales.items()}  # fmt: skip
        features["text"] = words.transform(kept["transcript"][rows]).toarray().astype(np.float32)
        found[part] = Part({name: features[name] for name in MODALITIES},
                           kept["label"][rows].astype(np.int64))  # fmt: skip
    return found


def model_of(tried: Try, widths: dict[str, int]) -> Any:
    """Make the joined model over features."""
    import torch
    from torch import nn

    from deepseek_fusion.model import FusionModel, FusionShape
    from deepseek_fusion.protocol import Tokens

    class Vector(nn.Module):
        """One vector a row (N, 1, C) as one token."""

        state_specs = ()

        def __init__(self, given: int, dropout: float) -> None:
            super().__init__()
            self.width = 16
            self.layer = nn.Sequential(nn.Dropout(dropout), nn.Linear(given, self.width))

        def encode(self, x: Any, mask: Any = None, state: Any = None) -> Tokens:
            there = torch.ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
            return Tokens(self.layer(x), there, {})

    encoders = {
        name: Vector(width, tried.feature_dropout if name == "text" else tried.auxiliary_dropout)
        for name, width in widths.items()
    }
    shape = FusionShape(
        classes=2, join=tried.join, width=16, modality_dropout=tried.modality_dropout
    )
    return FusionModel(encoders, shape)


def trained(tried: Try, part: Part, seed: int) -> Any:
    """Train with the rate going up and down once."""
    import torch

    from deepseek_fusion.losses import JointLoss, Temperature, single_loss

    torch.manual_seed(seed)
    model = model_of(tried, {name: values.shape[1] for name, values in part.features.items()})
    temperature, loss_of = Temperature(), JointLoss(contrast=0.0)
    inputs, labels = tensors(part), torch.from_numpy(part.labels)
    optimizer = torch.optim.AdamW(model.parameters(), RATE, weight_decay=0.05)
    steps = EPOCHS * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels)).split(BATCH):
            if len(rows) < BATCH:
                continue
            answer = model({name: values[rows] for name, values in inputs.items()})
            loss = (
                single_loss(answer, labels[rows])
                if tried.join == "late"
                else loss_of.of(answer, labels[rows], temperature())
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def tensors(part: Part) -> dict[str, Any]:
    """Features as tensors (N, 1, C)."""
    import torch

    return {name: torch.from_numpy(values)[:, None] for name, values in part.features.items()}


def right(model: Any, part: Part, chosen: tuple[str, ...] = MODALITIES) -> Any:
    """Tell which rows are answered rightly with these modalities."""
    import torch

    with torch.no_grad():
        inputs = tensors(part)
        logits = model({name: inputs[name] for name in chosen}).logits
    return logits.argmax(1).numpy() == part.labels


def corrupted(part: Part, how: str, seed: int) -> Part:
    """Return the part with one modality spoilt."""
    rng = np.random.default_rng(seed)
    features = dict(part.features)
    if how == "half of the words":
        features["text"] = features["text"] * (rng.random(features["text"].shape) < 0.5)
    else:
        name = how.split(maxsplit=1)[0]
        if how.endswith("noise"):
            features[name] = rng.standard_normal(features[name].shape).astype(np.float32)
        else:
            features[name] = features[name][rng.permutation(len(part.labels))]
    return Part({name: values.astype(np.float32) for name, values in features.items()}, part.labels)


def table(folder: Path, seeds: range) -> tuple[dict[str, list[Any]], dict[str, float]]:
    """Return what is right [rows] of each seed by name of a row, and CPU seconds by try."""
    read = parts(folder)
    found: dict[str, list[Any]] = {
        "TF-IDF, logistic regression": _linear(read, ("text",)),
        "all features, logistic regression": _linear(read, MODALITIES),
    }
    cpu_s = {}
    for name, tried in TRIES.items():
        start_s = time.process_time()
        for seed in seeds:
            model = trained(tried, read["train"], seed)
            for size in (3, 2, 1):
                for chosen in combinations(MODALITIES, size):
                    row = f"{name}: {' + '.join(chosen)}"
                    found.setdefault(row, []).append(right(model, read["test"], chosen))
            for how in CORRUPTIONS:
                spoilt = corrupted(read["test"], how, seed)
                found.setdefault(f"{name}: all, {how}", []).append(right(model, spoilt))
        cpu_s[name] = (time.process_time() - start_s) / len(seeds)
    return found, cpu_s


def _linear(read: dict[str, Part], chosen: tuple[str, ...]) -> list[Any]:
    from sklearn.linear_model import LogisticRegression

    train, test = (np.hstack([read[p].features[m] for m in chosen]) for p in ("train", "test"))
    model = LogisticRegression(max_iter=1000).fit(train, read["train"].labels)
    return [model.predict(test) == read["test"].labels]
