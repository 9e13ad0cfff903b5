"""Models of tables, of signals and of molecules."""

from __future__ import annotations

from collections.abc import Iterator

from corpus_kit.case import Case

from real_models.entry import model
from real_models.inputs import (
    fixed,
    normal,
    together,
)
from real_models.molecules import protein


def _tables() -> Iterator[Case]:
    folder = "atspm_detector/weights"
    for name, columns in (
        ("decode_v3", 25),
        ("phase_lgbm_v5_s0", 261),
        ("function/function229_s0", 229),
        ("lanes/lane_pair_D_s0", 508),
        ("setback/setback_full_q50_s0", 59),
        ("stacker/stacker_mean3_s0", 46),
    ):
        inputs = together(X=normal(columns, dtype="float64"))
        note = "LightGBM as TreeEnsemble of ai.onnx.ml 5, on float64"
        path = f"{folder}/{name}.onnx"
        yield model("atspm-detector", path, "tabular", note, inputs, {"X": 0})
    series = together(x=normal(15, 96))
    path = f"{folder}/funcnet/x100_w32full_pair.onnx"
    yield model("atspm-detector", path, "tabular", "series of events", series, {"x": 0})
    sensors = together(logit=normal(5), Z=normal(5, 128), act=normal())
    path = f"{folder}/funcnet/x100_w32full_head.onnx"
    note = "the sensors of one crossing, [D, K], each judged among the others"
    yield model("atspm-detector", path, "tabular", note, sensors)
    flowers = together(float_input=fixed(normal(2), 3))
    path = "onnxruntime/datasets/logreg_iris.onnx"
    yield model("onnxruntime", path, "tabular", "labels, and a sequence of maps", flowers)
    path = "onnxruntime/datasets/mul_1.onnx"
    yield model("onnxruntime", path, "tiny", "130 bytes", together(X=fixed(normal(2), 3)))
    path = "onnxruntime/datasets/sigmoid.onnx"
    yield model("onnxruntime", path, "tiny", "103 bytes", together(x=fixed(normal(4, 5), 3)))


def _science() -> Iterator[Case]:
    folder = "brainmaze_eeg_models"
    path = f"{folder}/seizure/_models/modelA_paper.onnx"
    note = "two LSTMs; items stand first in the input and second in the outputs"
    waves = together(x=normal(100, 20))
    yield model("brainmaze-eeg-models", path, "signals", note, waves, {"x": 0})
    path = f"{folder}/spindles/_models/spindle-detector-eeg.onnx"
    note = "a signal and its spectrogram, two inputs of items"
    both = together(raw_signal=normal(1, 7500), spectrogram=normal(15, 7500))
    axes = {"raw_signal": 0, "spectrogram": 0}
    yield model("brainmaze-eeg-models", path, "signals", note, both, axes)
    path = "caustic/data/best_v2_carbons.onnx"
    note = "a graph network: 19 inputs, three symbols, ScatterElements; items are residues"
    yield model("caustic-nmr", path, "chemistry", note, protein)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _tables()
    yield from _science()
