"""Calibrates a float ONNX model: samples run once, and each tensor's range is what they show."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal, get_args

import attrs
import numpy as np
from onnx import ModelProto

from deepseek_compress.errors import BadCalibration
from deepseek_compress.onnx_graph.feeding import Fed, as_samples
from deepseek_compress.onnx_graph.graph import HEAVY
from deepseek_compress.onnx_graph.reading import FloatModel
from deepseek_compress.onnx_graph.running import compare, run_calls, with_outputs
from deepseek_compress.qspec import QuantSpec
from deepseek_compress.quantize.observing import Observer
from deepseek_compress.quantize.poison import find_poison, refuse_poison
from deepseek_compress.quantize.ranges import METHODS
from deepseek_compress.quantize.refining import BIASED, refined
from deepseek_compress.quantize.weights import WeightMethod, weight_scales
from deepseek_core import compression, errors

Method = Literal["minmax", "percentile", "mse", "auto"]
Lower = Callable[[FloatModel, QuantSpec], ModelProto]
"""Makes a quantized model of a float one: what a target's lowering does."""
ENOUGH: Final = 256
"""Samples below which a note says that there are few."""
HELD_OUT: Final = 0.2
"""The share of the samples that ranges are judged on, not read off."""


def _check_method(_record: Any, _field: attrs.Attribute[str], value: str) -> None:
    if value not in (*METHODS, "auto"):
        raise errors.ConfigError(f"method must be {', '.join(METHODS)} or auto, got {value!r}")


def _check_outliers(_record: Any, _field: attrs.Attribute[str], value: str) -> None:
    if value not in ("refuse", "keep"):
        raise errors.ConfigError(f"outliers must be refuse or keep, got {value!r}")


def _check_weights(_record: Any, _field: attrs.Attribute[str], value: str) -> None:
    if value not in get_args(WeightMethod):
        raise errors.ConfigError(f"weights must be minmax or mse, got {value!r}")


def _check_bits(_record: Any, field: attrs.Attribute[int], value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= 8:
        raise errors.ConfigError(f"{field.name} must be a whole number from 2 to 8, got {value!r}")


def _check_share(_record: Any, field: attrs.Attribute[float], value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise errors.ConfigError(f"{field.name} must be between 0 and 1, got {value!r}")


@attrs.frozen(kw_only=True)
class CalibrationSettings:
    """How ranges are chosen; `auto` measures each method on the last `held_out` share of samples.

    `outliers`: refuse a set in which one sample defines a range, or keep it with a note.
    `weights`: a channel's scale holds its largest value, or loses least in squares. `refine`: with
    `auto`, weights are rounded otherwise and biases shifted where the held-out samples gain by it.
    """

    method: Method = attrs.field(default="minmax", validator=_check_method)
    weight_bits: int = attrs.field(default=8, validator=_check_bits)
    activation_bits: int = attrs.field(default=8, validator=_check_bits)
    outliers: Literal["refuse", "keep"] = attrs.field(default="refuse", validator=_check_outliers)
    weights: WeightMethod = attrs.field(default="minmax", validator=_check_weights)
    refine: bool = False
    held_out: float = attrs.field(default=HELD_OUT, validator=_check_share)


@attrs.frozen(kw_only=True)
class Calibration:
    """A spec, the method that made it, the output error of each that was tried, and notes."""

    spec: QuantSpec
    method: str
    errors: Mapping[str, float] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()


def calibrate(
    model: FloatModel,
    samples: Any,
    settings: CalibrationSettings | None = None,
    lower: Lower | None = None,
) -> Calibration:
    """Ranges of all float tensors of a model, and scales of its weights.

    `samples` are `compression.Samples`, an array, or arrays by input name. `lower` is needed by
    method `auto`: it makes the model whose outputs are compared with the float model's.

    Raises:
        BadCalibration: samples that are empty, constant, of one class, not finite or poisoned, or
            that do not fit the model.
    """
    chosen = settings or CalibrationSettings()
    data = as_samples(samples, model.proto)
    if chosen.method == "auto":
        return _best(model, data, chosen, lower)
    observers = observe(model, data)
    return _calibration(model, observers, chosen, chosen.method, len(data))


def _best(
    model: FloatModel, data: compression.Samples, settings: CalibrationSettings, lower: Lower | None
) -> Calibration:
    if lower is None:
        raise errors.ConfigError("method 'auto' compares lowered models", remedy="give lower=...")
    seen, held_out = parts(data, settings.held_out)
    notes: tuple[str, ...] = ()
    if len(seen) == len(data):
        notes = ("too few samples to hold some out: methods were compared on the same ones",)
    observers = observe(model, seen)
    tried = {m: _calibration(model, observers, settings, m, len(seen)) for m in METHODS}
    found = {
        m: compare(model.proto, lower(model, c.spec), held_out).relative_error
        for m, c in tried.items()
    }
    best = min(found, key=lambda m: found[m])
    chosen = attrs.evolve(tried[best], errors=found, notes=(*tried[best].notes, *notes))
    if not settings.refine:
        return chosen

    def error(spec: QuantSpec) -> float:
        return compare(model.proto, lower(model, spec), held_out).relative_error

    means = {name: seen.means for name, seen in observers.items()}
    spec, gains = refined(chosen.spec, found[best], means, error)
    return attrs.evolve(chosen, spec=spec, notes=(*chosen.notes, *gains))


def parts(data: compression.Samples, held_out: float = HELD_OUT) -> tuple[SomeSamples, SomeSamples]:
    """What ranges are read off, and the last share, held out; all for both if that is none."""
    count = len(data)
    cut = max(1, round(count * (1 - held_out)))
    if cut == count:
        return SomeSamples(data, 0, count), SomeSamples(data, 0, count)
    return SomeSamples(data, 0, cut), SomeSamples(data, cut, count)


def _calibration(
    model: FloatModel,
    observers: Mapping[str, Observer],
    settings: CalibrationSettings,
    method: str,
    count: int,
) -> Calibration:
    inputs = [value.name for value in model.proto.graph.input]
    read = [node.input[0] for node in model.proto.graph.node if node.op_type in HEAVY]
    poison = find_poison(observers, inputs, read)
    if settings.outliers == "refuse":
        refuse_poison(poison)
    notes = [] if poison is None else [str(poison)]
    if count < ENOUGH:
        notes.append(f"{count} samples; {ENOUGH} or more give steadier ranges")
    ranges = {
        name: METHODS[method](seen, settings.activation_bits)
        for name, seen in observers.items()
        if seen.lows
    }
    spec = QuantSpec(
        activations=ranges,
        weights=weight_scales(model, settings.weight_bits, settings.weights),
        samples=count,
    )
    return Calibration(spec=spec, method=method, notes=tuple(notes))


def observe(model: FloatModel, data: compression.Samples) -> dict[str, Observer]:
    """What each float tensor of a model looks like while the samples run.

    Raises:
        BadCalibration: samples are constant, of one class, or not finite.
    """
    names = model.float_tensors()
    given = {value.name for value in model.proto.graph.input}
    computed = [name for name in names if name not in given]
    channels = {node.input[0] for node in model.proto.graph.node if node.op_type in BIASED}
    observers = {name: Observer(name, channels=name in channels) for name in names}
    watch = _Watch()
    watched = with_outputs(model.proto, computed or [model.proto.graph.output[0].name])
    for fed, values in run_calls(watched, watch.samples(data), level="BASIC"):
        watch.inputs(fed)
        outputs = zip(computed, values, strict=False)
        for name, array in (*outputs, *((n, fed.inputs[n]) for n in names if n in given)):
            observers[name].add(np.asarray(array), fed.count, _size(fed))
    watch.judge()
    return observers


def _size(fed: Fed) -> int:
    """How many samples a call holds, those included that only fill it up."""
    return max((len(a) for a in fed.inputs.values() if a.ndim), default=1) if fed.count > 1 else 1


@attrs.frozen(eq=False)
class SomeSamples:
    """The samples from `start` to `stop` of others, in their own order."""

    whole: compression.Samples
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        """Batches that lie within the part; they may be smaller than `size` at its ends."""
        first = 0
        for batch in self.whole.batches(size):
            low, high = max(self.start - first, 0), min(self.stop - first, len(batch))
            first += len(batch)
            if low < high:
                inputs = {name: array[low:high] for name, array in batch.inputs.items()}
                labels = None if batch.labels is None else batch.labels[low:high]
                yield compression.Batch(inputs=inputs, labels=labels)
            if first >= self.stop:
                return


@attrs.define(eq=False)
class _Watch:
    """Notices sets that can't give ranges: all samples equal, one value, or one class."""

    digests: set[bytes] = attrs.field(factory=set)
    values: set[float] = attrs.field(factory=set)
    classes: set[str] = attrs.field(factory=set)
    count: int = 0

    def samples(self, data: compression.Samples) -> compression.Samples:
        """The same samples, whose labels are noted as they pass."""
        return _Passing(data, self)

    def inputs(self, fed: Fed) -> None:
        """Note what is fed: few digests and values are enough to know that they differ."""
        self.count += fed.count
        if len(self.digests) < 2:
            self.digests.update(_digests(fed))
        if len(self.values) < 2:
            floats = [a for a in fed.inputs.values() if a.dtype.kind == "f" and a.size]
            self.values.update(float(v) for a in floats for v in (a.min(), a.max()))

    def label(self, labels: Any) -> None:
        """Note the classes of a batch."""
        if len(self.classes) < 2:
            self.classes.update(
                str(label) for label in np.asarray(labels).reshape(len(labels), -1)[:, 0]
            )

    def judge(self) -> None:
        """Raise where nothing can be learned from the samples.

        Raises:
            BadCalibration: says what they have in common.
        """
        if self.count > 1 and len(self.digests) == 1:
            raise BadCalibration(f"all {self.count} samples are equal", remedy="give real samples")
        if len(self.values) == 1:
            raise BadCalibration(
                f"every input is {next(iter(self.values))} throughout", remedy="give real samples"
            )
        if self.count > 1 and len(self.classes) == 1:
            raise BadCalibration(
                f"all {self.count} samples are of class {next(iter(self.classes))}",
                remedy="give samples of all classes",
            )


def _digests(fed: Fed) -> Iterable[bytes]:
    for row in range(fed.count):
        digest = hashlib.sha256()
        for array in fed.inputs.values():
            whole = fed.count == 1 or array.ndim == 0
            digest.update(np.ascontiguousarray(array if whole else array[row]).tobytes())
        yield digest.digest()


@attrs.frozen(eq=False)
class _Passing:
    whole: compression.Samples
    watch: _Watch

    def __len__(self) -> int:
        return len(self.whole)

    def batches(self, size: int, *, seed: int | None = None) -> Iterator[compression.Batch]:
        for batch in self.whole.batches(size, seed=seed):
            if batch.labels is not None:
                self.watch.label(batch.labels)
            yield batch
