"""Options of click prediction: `--set NAME=VALUE`."""

from __future__ import annotations

from typing import Any, Final, Literal

import attrs

from deepseek_core import errors

MODELS: Final = ("fm", "dcn", "trees")
"""What a stack can be of."""


def _option(default: Any, text: str) -> Any:
    return attrs.field(default=default, metadata={"help": text})


def names_in(text: str) -> tuple[str, ...]:
    """Names between commas, without the space around them."""
    return tuple(name for name in (part.strip() for part in text.split(",")) if name)


@attrs.frozen(kw_only=True)
class Options:
    """What a job is: its columns, its split, its models."""

    target: str = _option("", "column that says whether it was clicked: 0 and 1, or no and yes")
    positive: str = _option("", "the target's value that is a click, where it is neither")
    click_from: str = _option("", "a number from which on the target is a click, such as 4")
    unlabeled: Literal["refuse", "drop"] = _option("refuse", "what to do where it is missing")
    categories: str = _option("", "columns of numbers that are codes: Region,Browser")
    drop: str = _option("", "columns to leave out: id,comment")
    delimiter: str = _option("", "what stands between values; found out by default")
    encoding: str = _option("utf-8", "how the file writes its letters, such as utf-8 or cp1252")
    split: Literal["random", "group", "time", "time_in_group"] = _option(
        "random", "rows at random, groups kept whole, the latest rows, or the latest of each group"
    )
    time: str = _option("", "column of numbers or ISO dates that says when a row was made")
    group: str = _option("", "column that says which rows belong together, such as a user")
    test: float = _option(0.2, "share of rows to test on")
    validation: float = _option(0.1, "share of rows to stop and calibrate on")
    split_seed: int = _option(0, "seed of the split")
    models: str = _option("fm,dcn,trees", "models to stack, of fm, dcn, trees")
    folds: int = _option(5, "members of each model; each leaves a fold of the training part out")
    bins: int = _option(20, "quantile bins of each number")
    min_count: int = _option(5, "rows that a category needs for an id of its own")
    width: int = _option(8, "numbers in a row of the embedding table")
    cross_layers: int = _option(2, "cross layers of dcn")
    hidden: str = _option("64,32", "widths of dcn's perceptron")
    dropout: float = _option(0.2, "share of hidden units that a step of dcn leaves out")
    l2: float = _option(1e-4, "penalty on squares of the rows that a batch uses")
    rate: float = _option(1e-3, "learning rate of Adam")
    batch: int = _option(256, "rows of a step")
    epochs: int = _option(30, "most passes over the training part; validation ends it earlier")
    tuning: Literal["full", "small", "none"] = _option(
        "small", "settings of trees to try: 24, 4 or 1"
    )
    calibration: Literal["platt", "isotonic", "none"] = _option("platt", "fitted on validation")
    license: str = _option("", "license of the data, for the report")
    source: str = _option("", "where the data are from, for the report")

    def __attrs_post_init__(self) -> None:
        for name in ("folds", "bins"):
            _at_least(name, getattr(self, name), 2)
        for name in ("min_count", "width", "cross_layers", "batch", "epochs"):
            _at_least(name, getattr(self, name), 1)
        _at_least("split_seed", self.split_seed, 0)
        self._check_shares()
        self._check_models()
        _ = self.least_click
        self._check_split()

    def _check_shares(self) -> None:
        if not (0 < self.test < 1 and 0 < self.validation < 1 and self.test + self.validation < 1):
            raise errors.ConfigError(
                f"test is {self.test} and validation {self.validation}",
                remedy="give shares above 0 that leave rows to train on: --set test=0.2",
            )
        if not 0 <= self.dropout < 1 or self.l2 < 0 or not self.rate > 0:
            raise errors.ConfigError(
                f"dropout is {self.dropout}, l2 {self.l2} and rate {self.rate}",
                remedy="give a dropout in [0, 1), an l2 of 0 or more and a rate above 0",
            )

    def _check_models(self) -> None:
        unknown = [name for name in self.chosen if name not in MODELS]
        if unknown or not self.chosen or len(set(self.chosen)) < len(self.chosen):
            raise errors.ConfigError(
                f"models is {self.models!r}", remedy=f"give some of {','.join(MODELS)}, each once"
            )
        if not self.widths or any(width < 1 for width in self.widths):
            raise errors.ConfigError(
                f"hidden is {self.hidden!r}", remedy="give widths of 1 or more: --set hidden=64,32"
            )

    def _check_split(self) -> None:
        wanted = {
            "random": (), "group": ("group",), "time": ("time",), "time_in_group": ("time", "group")
        }[self.split]  # fmt: skip
        for name in wanted:
            if not getattr(self, name):
                raise errors.ConfigError(
                    f"a split by {self.split} needs a column of that kind",
                    remedy=f"name it: --set {name}=COLUMN",
                )

    @property
    def least_click(self) -> float | None:
        """The number from which on the target is a click, if one was given.

        Raises:
            ConfigError: it is none.
        """
        if not self.click_from:
            return None
        try:
            return float(self.click_from)
        except ValueError as error:
            raise errors.ConfigError(
                f"click_from is {self.click_from!r}", remedy="give a number: --set click_from=4"
            ) from error

    @property
    def chosen(self) -> tuple[str, ...]:
        """The models to stack."""
        return names_in(self.models)

    @property
    def widths(self) -> tuple[int, ...]:
        """Widths of dcn's perceptron.

        Raises:
            ConfigError: one is no whole number.
        """
        try:
            return tuple(int(width) for width in names_in(self.hidden))
        except ValueError as error:
            raise errors.ConfigError(
                f"hidden is {self.hidden!r}", remedy="give whole numbers: --set hidden=64,32"
            ) from error


def _at_least(name: str, value: int, least: int) -> None:
    if value < least:
        raise errors.ConfigError(
            f"{name} is {value}", remedy=f"give {least} or more: --set {name}={least}"
        )
