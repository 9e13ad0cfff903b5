"""Step `qat`: trains a model in the integers that its target will compute in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import attrs

from deepseek_compress.modules import call, check_module, evaluating
from deepseek_compress.steps.training import (
    loss_of,
    objective_of,
    plan_of,
    profile,
    resolved,
    run_of,
    training_samples,
)
from deepseek_compress.train.options import DistillOptions, Precision
from deepseek_core import compression, errors

NAME = "qat"
RANGES = "ranges.json"


def _check_bits(_record: object, field: attrs.Attribute[int], value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 2 <= value <= 8:
        raise errors.ConfigError(
            f"{field.name} is {value!r}", remedy="use a number of bits: 2 to 8"
        )


@attrs.frozen(kw_only=True)
class QatOptions(DistillOptions):
    """How a model is trained in integers: `weights` and `activations` are numbers of bits.

    `target` says where the runtime quantizes. With `distill` the recipe's original is the teacher;
    else the labels teach alone. Training begins from scales of least squared error; its learning
    rate is lower than that of training in float, and a gradient that is far too large is clipped,
    without which training in 2 bits may never come back from it.
    """

    weights: int = attrs.field(default=8, validator=_check_bits)
    activations: int = attrs.field(default=8, validator=_check_bits)
    target: Literal["ort_x86", "trt"] = attrs.field(
        default="ort_x86", validator=attrs.validators.in_(("ort_x86", "trt"))
    )
    distill: bool = attrs.field(default=True, validator=attrs.validators.instance_of(bool))
    epochs: int = 1
    learning_rate: float = 0.005
    clip_norm: float = 4.0
    weight_decay: float = 0.0
    precision: Precision = "fp32"

    @property
    def has_teacher(self) -> bool:
        """Whether labels are not alone."""
        return self.distill


class Qat(compression.ModelCompressor):
    """Learns ranges and scales with the weights, beside quantization after training.

    The trained one is given on where it is more accurate by more than chance, else the other; the
    report says which and by how much.
    """

    def __init__(self, **options: Any) -> None:
        self._options = QatOptions(**options)

    def plan(self, model: Any, context: compression.StepContext) -> compression.StepPlan:
        """Resolve what the machine decides, and see which normalizations can be folded.

        Raises:
            InputError: there is no teacher or no calibration samples, or they do not fit the model.
        """
        from deepseek_compress.quantize.fold_norm import fold_norms, foldable

        _teacher(self._options, context)
        pairs = foldable(check_module(model), _example(model, context))
        choices, why = resolved(self._options, context)
        choices |= {"folded": [list(pair) for pair in pairs]}
        bits = f"{self._options.weights}-bit weights, {self._options.activations}-bit activations"
        plan = plan_of(NAME, model, context, choices, (bits, *why))
        return attrs.evolve(plan, after=profile(fold_norms(model, pairs), context))

    def reshape(self, model: Any, plan: compression.StepPlan) -> Any:
        """A copy without the normalizations that are folded."""
        from deepseek_compress.quantize.fold_norm import fold_norms

        return fold_norms(model, plan.choices["folded"])

    def apply(
        self, model: Any, plan: compression.StepPlan, context: compression.StepContext
    ) -> compression.StepResult:
        """Train a copy; keep it if it is better beyond chance, else the model quantized as it was.

        Raises:
            TrainingDiverged: twice, the second time at a lower learning rate.
            InputError: data and model do not fit each other, or the model can't be exported.
            BadCalibration: samples that can't give ranges.
        """
        from deepseek_compress.quantize.choosing import choose

        chosen = {name: value for name, value in plan.choices.items() if name != "folded"}
        bench = Bench.of(self.reshape(model, plan), QatOptions(**chosen), context)
        context.progress(0, 1, "quantizing after training")
        before = bench.after_training()
        trained = bench.trained()
        agreement = compression.Metric(name="agreement")
        metric = agreement if context.evaluate is None else context.metric
        figure = context.evaluate or bench.agreement
        candidates = {"ptq": before.file, "qat": trained.file}
        choice = choose(candidates, figure, metric, context.lead)
        shipped = before if choice.shipped == "ptq" else trained
        path = context.workspace / RANGES
        shipped.spec.save(path)
        return compression.StepResult(
            model=shipped.floats,
            profile=profile(shipped.floats, context),
            provided={"ranges": path},
            figures={
                **trained.figures,
                **{f"{metric.name}_{name}": value for name, value in choice.figures.items()},
                "shipped_qat": float(choice.shipped == "qat"),
            },
            notes=(_said(choice, known=context.evaluate is not None), *shipped.notes),
        )


def _said(choice: Any, *, known: bool) -> str:
    return (
        str(choice) if known else f"{choice} by agreement with float: there is no data.validation"
    )


def _teacher(options: QatOptions, context: compression.StepContext) -> Any:
    if not options.has_teacher:
        return None
    if context.original is None:
        raise errors.InputError(
            "qat with distill needs a teacher",
            remedy="begin the recipe with a trained model, or set distill = false",
        )
    return check_module(context.original)


@attrs.frozen(kw_only=True, eq=False)
class _Candidate:
    """The float module that is given on, its spec, the quantized `file` of the two as a module.

    The file is what is judged: it is what a device will run.
    """

    file: Any
    floats: Any
    spec: Any
    figures: Mapping[str, float] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True, eq=False)
class Bench:
    """A model whose normalizations are folded, its file, what both candidates are made with."""

    folded: Any
    floats: Any
    example: Mapping[str, Any]
    options: QatOptions
    context: compression.StepContext

    @classmethod
    def of(cls, folded: Any, options: QatOptions, context: compression.StepContext) -> Bench:
        """Export a folded model.

        Raises:
            InputError: there are no calibration samples, or torch can't export the model.
        """
        example = _example(folded, context)
        floats = _exported(folded, example, context.workspace)
        return cls(folded=folded, floats=floats, example=example, options=options, context=context)

    def after_training(self) -> _Candidate:
        """The model as it is, in ranges of the calibration method that loses least."""
        found = self.calibrated(self.floats, "auto", "minmax")
        notes = (f"ranges by {found.method}", *found.notes)
        file = self._file(self.floats, found.spec)
        return _Candidate(file=file, floats=self.folded, spec=found.spec, notes=notes)

    def started(self) -> Any:
        """What training begins with: fake-quantized in scales of least squared error."""
        return self.quantized(self.calibrated(self.floats, "mse", "mse").spec)

    def trained(self) -> _Candidate:
        """The model trained in integers."""
        from deepseek_compress.quantize.fake_quantized import learned_spec, plain

        found = self.fitted(self.started())
        floats = plain(found.model)
        exported = self.exported(floats)
        rest = self.calibrated(exported, "mse", "mse")
        spec = learned_spec(found.model, self.example, exported, rest.spec)
        return _Candidate(
            file=self._file(exported, spec),
            floats=floats,
            spec=spec,
            figures=found.figures,
            notes=(*found.notes, *self._unlearned(exported, spec)),
        )

    def _file(self, model: Any, spec: Any) -> Any:
        from deepseek_compress.steps.file_module import FileModule

        with evaluating(self.folded):
            like = call(self.folded, self.example)
        return FileModule(_lowering(self.options.target)(model, spec).proto, like)

    def _unlearned(self, model: Any, spec: Any) -> tuple[str, ...]:
        """A note on what the file quantizes and the module could not be trained in."""
        sites = placement_of(self.options.target).sites(model, spec)
        tensors = {sites.range_name(name) for name in sites.activations}
        left = [n for n in sites.weights if spec.weights[n].source != "learned"]
        left += sorted(n for n in tensors if spec.activations[n].source != "learned")
        if not left:
            return ()
        named = ", ".join(left[:3])
        return (f"calibrated, not trained: {len(left)} weights and tensors ({named})",)

    def fitted(self, module: Any) -> Any:
        """A fake-quantized module, trained."""
        from deepseek_compress.train.distill import distill
        from deepseek_compress.train.fit import fit

        options, context = self.options, self.context
        samples, run = training_samples(context, NAME), run_of(NAME, context)
        if options.has_teacher:
            teacher = _teacher(options, context)
            return distill(module, teacher, samples, options, run, loss=loss_of(context))
        return fit(module, samples, objective_of(context, options), options, run)

    def exported(self, module: Any) -> Any:
        """The float file of a module, read for quantization."""
        return _exported(module, self.example, self.context.workspace)

    def calibrated(self, model: Any, method: Any, weights: Any) -> Any:
        """Ranges by a method, and scales of weights by another, in the bits of the options."""
        from deepseek_compress.quantize.calibrating import CalibrationSettings, calibrate

        settings = CalibrationSettings(
            method=method,
            weights=weights,
            weight_bits=self.options.weights,
            activation_bits=self.options.activations,
        )
        lower = _lowering(self.options.target)
        return calibrate(
            model, self.context.calibration, settings, lambda m, spec: lower(m, spec).proto
        )

    def quantized(self, spec: Any) -> Any:
        """The folded model, fake-quantized by a spec."""
        from deepseek_compress.quantize.fake_quantized import fake_quantized

        placement = placement_of(self.options.target)
        return fake_quantized(self.folded, self.example, self.floats, spec, placement)

    def agreement(self, module: Any) -> float:
        """1 less the relative error against the float model's outputs for calibration samples."""
        from deepseek_compress.steps.agreement import agreement

        samples = self.context.calibration
        assert samples is not None
        return agreement(self.folded, module, samples)


def placement_of(target: str) -> Any:
    """Where and how a target quantizes."""
    from deepseek_compress.quantize.fake_quantized import Placement

    if target == "trt":
        from deepseek_compress.lower.trt_sites import trt_sites

        return Placement(sites=trt_sites, signed=True)
    from deepseek_compress.lower.ort_sites import ort_sites

    return Placement(sites=ort_sites, signed=False)


def _lowering(target: str) -> Callable[..., Any]:
    if target == "trt":
        from deepseek_compress.lower.trt import lower_trt

        return lower_trt
    from deepseek_compress.lower.ort_x86 import lower_ort_x86

    return lower_ort_x86


def _example(model: Any, context: compression.StepContext) -> dict[str, Any]:
    """A few samples as tensors, by the names of the model's inputs."""
    from deepseek_compress.train.batches import as_tensors

    if context.calibration is None:
        raise errors.InputError(
            "qat needs samples to begin its ranges with",
            remedy='add data.calibration = "package.module:function"',
        )
    return dict(as_tensors(next(iter(context.calibration.batches(4))), model).inputs)


def _exported(module: Any, example: Mapping[str, Any], folder: Path) -> Any:
    """The float file of a module, read for quantization."""
    from deepseek_compress.lower.export import export_onnx
    from deepseek_compress.onnx_graph.reading import read_float_model

    path = folder / "qat_float.onnx"
    try:
        shapes = {name: tuple(tensor.shape) for name, tensor in example.items()}
        arrays = {name: tensor.cpu().numpy() for name, tensor in example.items()}
        export_onnx(module, shapes, path, example=arrays)
        return read_float_model(path)
    finally:
        path.unlink(missing_ok=True)
