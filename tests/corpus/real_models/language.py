"""Models of text: bytes, letters and words."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
from corpus_kit.case import Case

from real_models.entry import model
from real_models.inputs import (
    ids,
    named,
    normal,
    ones,
    together,
)


def _text() -> Iterator[Case]:
    path = "magika/models/standard_v3_3/model.onnx"
    note = "the bytes of a file, int32, to its type"
    inputs = together(bytes=ids(257, 2048, "int32"))
    yield model("magika", path, "text", note, inputs, {"bytes": 0})
    for where, signs in (("", 160), ("persian/", 148)):
        yield from _romanizer(f"arabic_name_romanizer/resources/{where}", signs)
    for name, first, signs in (
        ("bilstm", "input_ids", 54),
        ("rawi", "input", 302),
        ("rawi_ensemble", "input", 236),
        ("rawi_v3", "input", 200),
    ):
        path = f"text2tashkeel/models/{name}.int8.onnx"
        note = "letters to marks; a dynamic range over all items"
        yield model("text2tashkeel", path, "quantized", note, named(first, ids(signs, 12)))


def _romanizer(folder: str, signs: int) -> Iterator[Case]:
    name = "persian" if "persian" in folder else "arabic"
    inputs = together(src=ids(signs, 7), src_mask=ones(7, dtype="bool"))
    note = f"{name}: a GRU in both directions over letters, with a mask that is an output, too"
    axes = {"src": 0, "src_mask": 0}
    case = model("arabic-name-romanizer", f"{folder}encoder.onnx", "text", note, inputs, axes)
    yield attrs.evolve(case, name=f"{case.origin}/{name}_encoder")
    inputs = together(
        prefix=ids(signs, 3),
        memory=normal(7, 256),
        src_mask=ones(7, dtype="bool"),
        hidden=normal(2, 256),
    )
    axes = {"prefix": 0, "memory": 0, "src_mask": 0, "hidden": 0}
    note = f"{name}: one step of a decoder with attention, four inputs"
    case = model("arabic-name-romanizer", f"{folder}decoder.onnx", "text", note, inputs, axes)
    yield attrs.evolve(case, name=f"{case.origin}/{name}_decoder")


def _titles() -> Iterator[Case]:
    """An encoder and a decoder of 8 bits, 36 and 59 MB."""
    folder = "traceforge_title_model/data/span"
    words, width = 32128, 512
    inputs = together(input_ids=ids(words, 16), attention_mask=ones(16))
    note = "an encoder of text in int8: a dynamic range over all items"
    yield model("traceforge-title-model", f"{folder}/encoder.onnx", "embedding", note, inputs)
    inputs = together(
        input_ids=ids(words, 4),
        encoder_hidden_states=normal(16, width),
        encoder_attention_mask=ones(16),
    )
    note = "its decoder: 59 MB, 32128 words"
    yield model("traceforge-title-model", f"{folder}/decoder.onnx", "quantized", note, inputs)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _text()
    yield from _titles()
