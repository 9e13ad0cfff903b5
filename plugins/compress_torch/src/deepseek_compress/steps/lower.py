"""Steps that make int8 files out of a float ONNX model, one for each kind of runtime."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import attrs

from deepseek_core import Artifact, compression, errors

SIMULATED: Final = (
    "activations of fewer than 8 bits are computed in float: the file shows what the bits cost in "
    "accuracy, and is no faster; activations = 8 in step qat runs in integer"
)


def _check_error(_record: object, _field: object, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise errors.ConfigError(
            f"max_error is {value!r}", remedy="use a share of the outputs, as max_error = 0.1"
        )


@attrs.frozen(kw_only=True)
class LowerOptions:
    """Options of int8 files.

    `method` chooses ranges: minmax, percentile, mse, or the one that loses least (`auto`), which
    then sees whether another rounding of weights and shifted biases lose still less.
    `outliers` says what to do with a sample that defines a range by itself. `skip` are nodes that
    stay float; with `max_drop` (points of accuracy, or so much of the metric's unit) the most
    sensitive layers do too, as few as keep the drop within it. `max_error` needs no labels: it is
    how far outputs may be from float ones, as 0.1, on calibration samples that are held out.
    """

    method: Literal["auto", "minmax", "percentile", "mse"] = "auto"
    outliers: Literal["refuse", "keep"] = "refuse"
    skip: tuple[str, ...] = ()
    max_drop: float | None = None
    max_error: float | None = attrs.field(default=None, validator=_check_error)

    def __attrs_post_init__(self) -> None:
        if self.max_drop is not None and self.max_error is not None:
            raise errors.ConfigError(
                "max_drop and max_error both choose the layers that stay float",
                remedy="give one of them",
            )


class _Lower(compression.ModelCompressor):
    """Calibrates where no earlier step learned ranges, then lowers for the target."""

    target: ClassVar[str]

    def __init__(self, **options: Any) -> None:
        self._options = LowerOptions(**options)

    def plan(self, model: Any, context: compression.StepContext) -> compression.StepPlan:
        """A quarter of the weights' bytes; which layers stay float is known after it was done."""
        before = profile_of_file(model)
        learned = "ranges" in context.provided
        how = "ranges that training learned" if learned else f"method {self._options.method}"
        after = attrs.evolve(before, nbytes=None)
        return compression.StepPlan(
            step=self.target,
            before=before,
            after=after,
            choices={"target": self.target, "learned": learned},
            notes=(f"int8 by {how}",),
        )

    def apply(
        self, model: Any, plan: compression.StepPlan, context: compression.StepContext
    ) -> compression.StepResult:
        """Write the file, and see what runs in integer after the runtime's own optimization."""
        from deepseek_compress.lower.coverage import int8_coverage
        from deepseek_compress.onnx_graph.running import compare

        floats = read_float(model)
        context.progress(0, 3, "calibrating")
        spec, notes = self._spec(floats, context)
        spec.save(context.workspace / "ranges.json")
        context.progress(1, 3, "lowering")
        lowered, left, warned = self._lowered(floats, spec, context)
        context.progress(2, 3, "comparing with float")
        coverage = int8_coverage(floats, lowered, context.calibration)
        difference = compare(floats.proto, lowered.proto, context.calibration)
        if not coverage.macs and self._options.max_error is not None:
            warned += (f"max_error = {self._options.max_error:g} leaves nothing in int8",)
        if lowered.simulated:
            warned += (SIMULATED,)
        warned += self._far_off(floats, spec, context, difference.relative_error)
        made = Artifact.from_bytes(lowered.proto.SerializeToString(), format="onnx")
        return compression.StepResult(
            model=made,
            profile=attrs.evolve(plan.before, nbytes=lowered.proto.ByteSize()),
            figures={
                "int8_coverage": coverage.macs,
                "int8_coverage_convolutions": coverage.convolution_macs,
                "relative_error": difference.relative_error,
                "agreement": difference.agreement,
            },
            notes=(*notes, *left, *lowered.notes, *_in_float(coverage)),
            warnings=warned,
        )

    def _spec(self, floats: Any, context: compression.StepContext) -> tuple[Any, tuple[str, ...]]:
        from deepseek_compress.qspec import QuantSpec
        from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate, parts

        learned = context.provided.get("ranges")
        if isinstance(learned, Path):
            return QuantSpec.read(learned), ("ranges learned in training",)
        if context.calibration is None:
            raise errors.InputError(
                f"{self.target} needs samples to find the ranges of tensors",
                remedy='add data.calibration = "package.module:function"',
            )
        settings = CalibrationSettings(
            method=self._options.method, outliers=self._options.outliers, refine=True
        )
        samples = context.calibration
        if self._options.max_error is not None and settings.method != "auto":
            samples, _ = parts(samples)  # `auto` holds the same ones out
        found = calibrate(floats, samples, settings, self._proto)
        return found.spec, (f"ranges by {found.method}", *found.notes)

    def _lowered(
        self, floats: Any, spec: Any, context: compression.StepContext
    ) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
        """The file, notes and warnings."""
        if self._options.max_error is not None:
            return *self._within_error(floats, spec, context), ()
        lower, skip = self._function(), set(self._options.skip)
        if self._options.max_drop is None:
            return lower(floats, spec, skip=skip), (), ()
        if context.evaluate is None:
            ignored = (
                "max_drop was not followed: there are no labels to judge by; "
                "max_error = 0.1 instead needs none"
            )
            return lower(floats, spec, skip=skip), (), (ignored,)
        from deepseek_compress.quantize.sensitivity import mixed, sensitivity

        ranked = sensitivity(floats, spec, context.calibration, self._proto)
        metric = partial(_accuracy, evaluate=context.evaluate)
        chosen = mixed(
            floats,
            spec,
            ranked,
            lower=self._proto,
            metric=metric,
            max_drop=self._options.max_drop / context.metric.per_unit,
        )
        skip |= set(chosen.left_in_float)
        told, said = ", ".join(chosen.left_in_float) or "nothing", context.metric.text
        note = (
            f"{context.metric.name} float {said(chosen.metric_float)}, "
            f"all int8 {said(chosen.metric_quantized)}, "
            f"with {told} left in float {said(chosen.metric)}"
        )
        return lower(floats, spec, skip=skip), (note,), ()

    def _within_error(
        self, floats: Any, spec: Any, context: compression.StepContext
    ) -> tuple[Any, tuple[str, ...]]:
        from deepseek_compress.quantize.nearness import within_error

        limit = self._options.max_error
        assert limit is not None
        held_out = self._held_out(floats, context)
        chosen = within_error(floats, spec, held_out, self._proto, limit)
        left = chosen.left_in_float
        whole, reached = 1 - chosen.metric_quantized, 1 - chosen.metric
        note = f"error of the outputs on {len(held_out)} samples held out: all int8 {whole:.1%}"
        if left:
            note += f", with {len(left)} layers left in float ({', '.join(left)}) {reached:.1%}"
        lowered = self._function()(floats, spec, skip={*self._options.skip, *left})
        return lowered, (note,)

    def _far_off(
        self, floats: Any, spec: Any, context: compression.StepContext, error: float
    ) -> tuple[str, ...]:
        """What to say of outputs that are far from float, unless a limit was given."""
        from deepseek_compress.quantize.nearness import LARGE, costliest

        if self._options.max_error is not None or error <= LARGE:
            return ()
        worst = costliest(floats, spec, self._held_out(floats, context), self._proto)
        most = f"; alone in int8 cost most: {worst}" if worst else ""
        return (
            f"outputs differ from float by {error:.1%}{most}; max_error = {LARGE:g} "
            f'beside use = "{self.target}" leaves as few layers in float as it takes',
        )

    def _held_out(self, floats: Any, context: compression.StepContext) -> Any:
        from deepseek_compress.onnx_graph.feeding import as_samples
        from deepseek_compress.quantize.calibrating import parts

        return parts(as_samples(context.calibration, floats.proto))[1]

    def _proto(self, model: Any, spec: Any, *, skip: Any = ()) -> Any:
        return self._function()(model, spec, skip={*self._options.skip, *skip}).proto

    @abstractmethod
    def _function(self) -> Callable[..., Any]:
        """What lowers for the target."""


class LowerForOnnxRuntime(_Lower):
    """uint8 activations and int8 weights, placed so that ONNX Runtime fuses them on x86."""

    target = "ort_x86"

    def _function(self) -> Callable[..., Any]:
        from deepseek_compress.lower.ort_x86 import lower_ort_x86

        return lower_ort_x86


class LowerForTensorRt(_Lower):
    """Symmetric int8 with float biases, as TensorRT's parser wants it."""

    target = "trt"

    def _function(self) -> Callable[..., Any]:
        from deepseek_compress.lower.trt import lower_trt

        return lower_trt


def _accuracy(proto: Any, evaluate: Callable[[Any], float]) -> float:
    return evaluate(Artifact.from_bytes(proto.SerializeToString(), format="onnx"))


def _in_float(coverage: Any) -> tuple[str, ...]:
    left = coverage.in_float
    if not left:
        return ()
    first = "; ".join(f"{layer.name}: {layer.why_float}" for layer in left[:3])
    more = f", and {len(left) - 3} more" if len(left) > 3 else ""
    return (f"{len(left)} layers run in float ({first}{more})",)


def read_float(model: Any) -> Any:
    """The float model of an artifact, ready to be quantized.

    Raises:
        InputError: it is not an ONNX file, or is quantized already.
    """
    from deepseek_compress.onnx_graph.reading import read_float_model

    return read_float_model(_checked(model))


def profile_of_file(model: Any) -> compression.ModelProfile:
    """Weights, multiply-accumulates for one sample and bytes of an ONNX file.

    Raises:
        InputError: it is not an ONNX file.
    """
    from deepseek_compress.onnx_graph.profile import onnx_profile

    return onnx_profile(_checked(model))


def _checked(model: Any) -> Artifact:
    if not isinstance(model, Artifact) or model.format != "onnx":
        raise errors.InputError(
            f"takes an ONNX file, given a {type(model).__name__}",
            remedy="give an Artifact of format onnx",
        )
    return model
