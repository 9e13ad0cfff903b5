"""Options of training, as recipes give them."""

from __future__ import annotations

from typing import Any, Literal, get_args

import attrs

from deepseek_core import errors

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["cosine", "onecycle", "constant"]
Precision = Literal["auto", "fp32", "bf16"]
Layout = Literal["auto", "channels_last", "contiguous"]
Match = Literal["auto", "classes", "values"]


def _between(low: float, high: float) -> Any:
    def check(_record: object, field: attrs.Attribute[Any], value: float) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise errors.ConfigError(f"{field.name} is {value!r}", remedy="use a number")
        if not low <= value <= high:
            raise errors.ConfigError(
                f"{field.name} is {value:g}", remedy=f"use {low:g} to {high:g}"
            )

    return check


def _count(least: int) -> Any:
    def check(_record: object, field: attrs.Attribute[Any], value: int) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise errors.ConfigError(
                f"{field.name} is {value!r}", remedy=f"use a whole number, {least} or more"
            )

    return check


def _one_of(kind: Any) -> Any:
    def check(_record: object, field: attrs.Attribute[Any], value: str) -> None:
        if value not in get_args(kind):
            raise errors.ConfigError(
                f"{field.name} is {value!r}", remedy=f"use {', '.join(get_args(kind))}"
            )

    return check


def _names(values: Any) -> tuple[str, ...]:
    if isinstance(values, str) or not all(isinstance(value, str) for value in values):
        raise errors.ConfigError(f"layers is {values!r}", remedy='use a list: ["layer2", "layer3"]')
    return tuple(values)


@attrs.frozen(kw_only=True)
class FitOptions:
    """How a model is trained.

    `learning_rate` is the highest one; `schedule` leads to it (`warmup`, a share of all steps) and
    down from it. `weight_decay` spares biases and normalizations. `precision` of `auto` is bf16
    where the CPU multiplies it in hardware; `layout` is that of weights while they are trained.
    `validation_share` of the training data is held out
    (never the test set): the best epoch is kept, and training ends after `patience` epochs
    without a better one. `clip_norm` of 0 clips nothing.
    """

    epochs: int = attrs.field(default=3, validator=_count(1))
    learning_rate: float = attrs.field(default=0.05, validator=_between(1e-9, 100.0))
    batch_size: int = attrs.field(default=64, validator=_count(1))
    optimizer: Optimizer = attrs.field(default="sgd", validator=_one_of(Optimizer))
    schedule: Schedule = attrs.field(default="cosine", validator=_one_of(Schedule))
    warmup: float = attrs.field(default=0.1, validator=_between(0.0, 0.9))
    momentum: float = attrs.field(default=0.9, validator=_between(0.0, 0.999))
    weight_decay: float = attrs.field(default=5e-4, validator=_between(0.0, 1.0))
    label_smoothing: float = attrs.field(default=0.0, validator=_between(0.0, 0.9))
    clip_norm: float = attrs.field(default=0.0, validator=_between(0.0, 1e9))
    precision: Precision = attrs.field(default="auto", validator=_one_of(Precision))
    layout: Layout = attrs.field(default="auto", validator=_one_of(Layout))
    validation_share: float = attrs.field(default=0.0, validator=_between(0.0, 0.9))
    patience: int = attrs.field(default=3, validator=_count(1))


@attrs.frozen(kw_only=True)
class DistillOptions(FitOptions):
    """How a model learns from a teacher, besides from labels.

    The loss is (1 - alpha) x cross-entropy + alpha x T^2 x KL(teacher || student), both softened
    by the `temperature` T (Hinton 2015); alpha of 1 needs no labels. That is to `match` the scores
    of `classes`; outputs that are `values`, of a regression, are matched by their mean squared
    difference instead, and `auto` does so where labels have fractions. `features` adds what
    the modules named in `layers` give, times `feature_weight`: `attention` compares where they are
    active (Zagoruyko 2017), `projection` what they say, through a 1x1 convolution that is trained
    along (FitNets, Romero 2015). A layer is a name that both models have, or "student=teacher".
    """

    temperature: float = attrs.field(default=4.0, validator=_between(0.1, 100.0))
    alpha: float = attrs.field(default=0.7, validator=_between(0.0, 1.0))
    match: Match = attrs.field(default="auto", validator=_one_of(Match))
    features: Literal["none", "attention", "projection"] = attrs.field(
        default="none", validator=_one_of(Literal["none", "attention", "projection"])
    )
    layers: tuple[str, ...] = attrs.field(default=(), converter=_names)
    feature_weight: float = attrs.field(default=1.0, validator=_between(0.0, 1e6))

    @property
    def has_teacher(self) -> bool:
        """Whether labels are not alone."""
        return True

    def __attrs_post_init__(self) -> None:
        if (self.features == "none") != (not self.layers):
            raise errors.ConfigError(
                f"features is {self.features!r} and layers names {len(self.layers)}",
                remedy='name modules: features = "attention", layers = ["layer2", "layer3"]',
            )


@attrs.frozen(kw_only=True)
class RecoverOptions:
    """How many `batches` of training samples new statistics are taken from."""

    batches: int = attrs.field(default=12, validator=_count(1))
    batch_size: int = attrs.field(default=256, validator=_count(1))
