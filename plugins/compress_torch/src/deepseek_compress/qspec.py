"""What quantization decided, for any runtime: ranges of tensors and scales of weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, get_args

import attrs
import numpy as np

from deepseek_core import errors

FORMAT: Final = "deepseek-quantization"
VERSION: Final = 1
Source = Literal["minmax", "percentile", "entropy", "mse", "learned"]
"""Where a range or a scale came from; entropy in older files alone."""
Rounding = Literal["nearest", "sum"]
"""How integers are made of a weight; `sum`: so that each channel's sum stays near, too."""
SOURCES: Final[tuple[str, ...]] = get_args(Source)


def _check_bits(_record: Any, _field: attrs.Attribute[int], bits: int) -> None:
    if isinstance(bits, bool) or not isinstance(bits, int) or not 2 <= bits <= 8:
        raise errors.ConfigError(f"bits must be a whole number from 2 to 8, got {bits!r}")


def _check_source(_record: Any, _field: attrs.Attribute[str], source: str) -> None:
    if source not in SOURCES:
        raise errors.ConfigError(f"source must be one of {', '.join(SOURCES)}, got {source!r}")


def _check_rounding(_record: Any, _field: attrs.Attribute[str], rounding: str) -> None:
    if rounding not in get_args(Rounding):
        raise errors.ConfigError(f"rounding must be nearest or sum, got {rounding!r}")


def _as_floats(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


@attrs.frozen(kw_only=True)
class TensorRange:
    """The values that a float tensor takes: from `min` to `max`, in `bits` bits.

    With `means`, one for each entry along axis 1, biases of layers that read it make up for what
    the rounding of their weights takes from their outputs in the mean.
    """

    min: float = attrs.field(converter=float)
    max: float = attrs.field(converter=float)
    bits: int = attrs.field(default=8, validator=_check_bits)
    source: Source = attrs.field(default="minmax", validator=_check_source)
    means: tuple[float, ...] = attrs.field(default=(), converter=_as_floats)

    def __attrs_post_init__(self) -> None:
        if not all(map(math.isfinite, self.means)):
            raise errors.ConfigError("means of a tensor must be finite")
        if not (math.isfinite(self.min) and math.isfinite(self.max)) or self.min > self.max:
            raise errors.ConfigError(
                f"a range must be finite and rise, got {self.min} to {self.max}"
            )

    def affine(self) -> tuple[np.float32, int]:
        """Scale and zero point of an unsigned integer; the range is widened to hold 0."""
        low, high = min(self.min, 0.0), max(self.max, 0.0)
        levels = 2**self.bits - 1
        scale = _positive((high - low) / levels)
        return scale, int(np.clip(np.rint(-low / np.float64(scale)), 0, levels))

    def symmetric(self) -> np.float32:
        """Scale of a signed integer whose zero point is 0."""
        return _positive(max(abs(self.min), abs(self.max)) / (2 ** (self.bits - 1) - 1))


def _positive(scale: float) -> np.float32:
    """A scale as runtimes take it; a tensor that is 0 throughout has 1."""
    found = np.float32(scale)
    return found if found >= np.finfo(np.float32).tiny else np.float32(1.0)


@attrs.frozen(kw_only=True)
class WeightScales:
    """Scales of a weight, one for each entry along `axis`; its integers are symmetric.

    A channel of zeros has the scale 0 here; a lowering gives it one that its runtime takes.
    """

    scales: tuple[float, ...] = attrs.field(converter=_as_floats)
    axis: int
    bits: int = attrs.field(default=8, validator=_check_bits)
    source: Source = attrs.field(default="minmax", validator=_check_source)
    rounding: Rounding = attrs.field(default="nearest", validator=_check_rounding)

    def __attrs_post_init__(self) -> None:
        if not self.scales or any(not math.isfinite(s) or s < 0 for s in self.scales):
            raise errors.ConfigError("scales of a weight must be finite and not negative")

    @property
    def levels(self) -> int:
        """The largest integer, and minus the smallest: 127 for 8 bits."""
        return int(2 ** (self.bits - 1) - 1)


@attrs.frozen(kw_only=True)
class QuantSpec:
    """Ranges and scales by the names of the float model's tensors, from `samples` samples."""

    activations: Mapping[str, TensorRange]
    weights: Mapping[str, WeightScales]
    samples: int = attrs.field(validator=attrs.validators.ge(0))

    def to_json(self) -> dict[str, Any]:
        """Plain values for a file; version 1: keys may be added, none is renamed or dropped."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "samples": self.samples,
            "activations": {name: attrs.asdict(r) for name, r in self.activations.items()},
            "weights": {name: attrs.asdict(w) for name, w in self.weights.items()},
        }

    @classmethod
    def from_json(cls, kept: Any) -> QuantSpec:
        """What `to_json` gave.

        Raises:
            ArtifactError: it is none, is of a newer version, or a value in it can't be.
        """
        if not isinstance(kept, dict) or kept.get("format") != FORMAT:
            raise errors.ArtifactError(
                f"no {FORMAT} file: it lacks format={FORMAT!r}", remedy="calibrate the model again"
            )
        if kept.get("version") != VERSION:
            raise errors.ArtifactError(
                f"a {FORMAT} file of version {kept.get('version')!r}; version {VERSION} is read",
                remedy="update deepseek-compress, or calibrate the model again",
            )
        try:
            return cls(
                activations={n: _record(TensorRange, r) for n, r in kept["activations"].items()},
                weights={n: _record(WeightScales, w) for n, w in kept["weights"].items()},
                samples=kept["samples"],
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise errors.ArtifactError(
                f"a damaged {FORMAT} file: {error}", remedy="calibrate the model again"
            ) from error

    def save(self, path: Path) -> None:
        """Write it whole or not at all.

        Raises:
            WriteError: no space, or no permission.
        """
        from deepseek_compress.onnx_graph.files import write_whole

        write_whole(path, json.dumps(self.to_json(), indent=1).encode() + b"\n")

    @classmethod
    def read(cls, path: Path) -> QuantSpec:
        """The spec of a file.

        Raises:
            ArtifactError: it is missing, damaged, foreign or newer.
        """
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise errors.ArtifactError(
                f"{path} can't be read: {error}", remedy="calibrate the model again"
            ) from error
        return cls.from_json(kept)


def _record(kind: Any, fields: Mapping[str, Any]) -> Any:
    """A record of the fields that this version knows."""
    known = {field.name for field in attrs.fields(kind)}
    return kind(**{key: value for key, value in fields.items() if key in known})
