"""The shapes that the matcher's array of processing elements is built in.

No shape is best everywhere: registers, vector width and popcount differ. `candidates` lists the
few worth trying on a device; `autotune` measures them once.
"""

from __future__ import annotations

from importlib import resources
from typing import Literal

from attrs import field, frozen, validators

from deepseek_fpga.platforms import DeviceRecord

Metric = Literal["l2_f32", "l2_i8", "hamming"]
Form = Literal["ndrange", "single", "channels"]
WordFormat = Literal["f32", "i8", "i8x4", "bits"]

METRICS: tuple[Metric, ...] = ("l2_f32", "l2_i8", "hamming")
MAX_K = 16
LANES_PER_VECTOR = 16

# -cl-fast-relaxed-math lets a * b + c become one instruction; the code has no NaN to lose.
_BASE_OPTIONS = "-w -cl-mad-enable -cl-fast-relaxed-math"
_MACROS: dict[tuple[Metric, WordFormat], str] = {
    ("l2_f32", "f32"): "METRIC_L2_F32",
    ("l2_i8", "i8"): "METRIC_L2_I8_WIDEN",
    ("l2_i8", "i8x4"): "METRIC_L2_I8_DOT",
    ("hamming", "bits"): "METRIC_HAMMING",
}
_FORM_MACROS: dict[Form, str] = {
    "ndrange": "",
    "single": " -DFPGA_WRAPPER",
    "channels": " -DFPGA_WRAPPER -DUSE_CHANNELS",
}
_PLAIN_FORMAT: dict[Metric, WordFormat] = {"l2_f32": "f32", "l2_i8": "i8", "hamming": "bits"}

# (rows, vecs), the likely best first. Wide: 32 registers of 16 lanes; narrow: 16 of 8.
_WIDE_TILES: dict[WordFormat, tuple[tuple[int, int], ...]] = {
    "f32": ((8, 2), (4, 4), (14, 1)),
    "i8": ((8, 2),),
    "i8x4": ((8, 2), (4, 4)),
    "bits": ((8, 2), (4, 4)),
}
_NARROW_TILES: dict[WordFormat, tuple[tuple[int, int], ...]] = {
    "f32": ((6, 1), (4, 1), (8, 1)),
    "i8": ((6, 1), (4, 1)),
    "i8x4": (),
    "bits": ((4, 1), (8, 1), (2, 1)),
}
SMALL_ROWS = (1, 4)
"""Rows of the tiles that serve small batches, in the layout of the best tile."""


@frozen(kw_only=True)
class Variant:
    """One shape of the array: `rows` queries by `16 * vecs` gallery lanes."""

    metric: Metric = field(validator=validators.in_(METRICS))
    words: WordFormat
    rows: int = field(validator=[validators.ge(1), validators.le(64)])
    vecs: int = field(validator=[validators.ge(1), validators.le(8)])
    form: Form = "ndrange"

    @property
    def lanes(self) -> int:
        """Gallery rows in one panel."""
        return LANES_PER_VECTOR * self.vecs

    @property
    def options(self) -> str:
        """What the compiler is told."""
        macro = _MACROS[self.metric, self.words]
        shape = f"-DROWS={self.rows} -DVECS={self.vecs}"
        return f"{_BASE_OPTIONS} -D{macro} {shape}{_FORM_MACROS[self.form]}"

    @property
    def layout(self) -> tuple[WordFormat, int]:
        """Variants of one layout read the same packed gallery."""
        return (self.words, self.vecs)


def kernel_source() -> str:
    """The text of `matcher.cl`."""
    return resources.files("deepseek_fpga").joinpath("matcher.cl").read_text(encoding="utf-8")


def candidates(record: DeviceRecord, metric: Metric) -> tuple[Variant, ...]:
    """The variants worth measuring on a device, the likely best first."""
    wide = record.float_lanes >= LANES_PER_VECTOR
    tiles = _WIDE_TILES if wide else _NARROW_TILES
    formats: tuple[WordFormat, ...] = (_PLAIN_FORMAT[metric],)
    if metric == "l2_i8" and record.type == "cpu":
        formats = ("i8x4", "i8")
    return tuple(
        Variant(metric=metric, words=words, rows=rows, vecs=vecs)
        for words in formats
        for rows, vecs in tiles[words]
    )


def default_variant(record: DeviceRecord, metric: Metric, form: Form = "ndrange") -> Variant:
    """The variant that builds everywhere, used where nothing is to be measured."""
    wide = record.float_lanes >= LANES_PER_VECTOR
    words = _PLAIN_FORMAT[metric]
    rows, vecs = (_WIDE_TILES if wide else _NARROW_TILES)[words][0]
    return Variant(metric=metric, words=words, rows=rows, vecs=vecs, form=form)
