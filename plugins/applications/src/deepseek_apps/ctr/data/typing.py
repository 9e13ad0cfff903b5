"""Columns of text as numbers, categories, and a target."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from deepseek_apps.ctr.options import Options, names_in
from deepseek_apps.ctr.table import Columns, Floats, Inputs, Ints, Texts, bounded
from deepseek_core import console, errors

MISSING: Final = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
"""What stands for no value, in any case of letters."""
_YES: Final = {
    **dict.fromkeys(("1", "1.0", "true", "t", "yes", "y"), 1),
    **dict.fromkeys(("0", "0.0", "false", "f", "no", "n"), 0),
}
_FEW: Final = 10
"""So many values of a target are told."""


def typed_inputs(given: console.TextTable, options: Options) -> Inputs:
    """Inputs of all columns but the target, the time and those that are dropped.

    A column is one of numbers where each value that it has is one; `options.categories` names
    those whose numbers are codes.

    Raises:
        InputError: a column that is named and not there, or nearly all numbers.
    """
    codes, out = names_in(options.categories), _left_out(options)
    for name in (*codes, *out):
        given.column(name)
    numbers: dict[str, Floats] = {}
    categories: dict[str, Texts] = {}
    for name in given.columns:
        if name in out:
            continue
        found = None if name in codes else numbers_of(given, name)
        if found is None:
            categories[name] = np.array([text.strip() for text in given.column(name)])
        else:
            numbers[name] = found
    return gathered(numbers, categories, len(given))


def inputs_like(given: console.TextTable, columns: Columns) -> Inputs:
    """Inputs of the columns that a model reads, typed as it reads them; others are left alone.

    Raises:
        InputError: a column is missing, or a column of numbers has something else.
    """
    numbers = {}
    for name in columns.numbers:
        found = numbers_of(given, name)
        if found is None and any(
            text.strip().lower() not in MISSING for text in given.column(name)
        ):
            raise errors.InputError(
                f"{given.path}: the column {name} has no numbers, which the model reads there",
                remedy="give the column as it was in the training",
            )
        numbers[name] = np.full(len(given), np.nan, np.float32) if found is None else found
    categories = {
        name: np.array([text.strip() for text in given.column(name)]) for name in columns.categories
    }
    return gathered(numbers, categories, len(given))


def gathered(numbers: Mapping[str, Floats], categories: Mapping[str, Texts], rows: int) -> Inputs:
    """Inputs of columns (N) by name."""
    no_texts = np.zeros((rows, 0), np.str_)
    return Inputs(
        columns=Columns(numbers=list(numbers), categories=list(categories)),
        numbers=np.column_stack([np.zeros((rows, 0), np.float32), *numbers.values()]),
        categories=np.column_stack(list(categories.values())) if categories else no_texts,
    )


def _left_out(options: Options) -> tuple[str, ...]:
    """Target, time and what is dropped; a group is an input unless it is kept whole."""
    named = [options.target, options.time, *names_in(options.drop)]
    if options.split == "group":
        named.append(options.group)  # no group of the test part was trained on
    return tuple(name for name in named if name)


def numbers_of(given: console.TextTable, name: str) -> Floats | None:
    """Numbers (N), NaN for missing ones; None where the column is one of categories.

    Raises:
        InputError: 9 of 10 values are numbers and others are not, or one is infinite.
    """
    texts = given.column(name)
    found = np.full(len(texts), np.nan)
    strange: list[int] = []
    held = 0
    for row, text in enumerate(texts):
        if text.strip().lower() in MISSING:
            continue
        held += 1
        try:
            found[row] = float(text)
        except ValueError:
            strange.append(row)
    if not held or len(strange) > held / 10:
        return None
    if strange:
        raise errors.InputError(
            f"{given.path}, line {given.lines[strange[0]]}: {name} is {texts[strange[0]]!r}, and "
            f"a number in most other lines ({len(strange)} of {held} are none)",
            remedy=f"correct them, leave them empty, or name it: --set categories={name}",
        )
    if np.isinf(found).any():
        row = int(np.isinf(found).argmax())
        raise errors.InputError(
            f"{given.path}, line {given.lines[row]}: {name} is {texts[row]!r}, no finite number",
            remedy="leave the cell empty where the value is missing",
        )
    return bounded(found)


def labeled(given: console.TextTable, options: Options) -> tuple[console.TextTable, int]:
    """The rows that have a target, and how many others there were.

    Raises:
        ConfigError: no target is named.
        InputError: there is no such column, or some rows lack it and may not be left out.
    """
    if not options.target:
        raise errors.ConfigError(
            "no target is named", remedy=f"--set target=COLUMN, one of: {', '.join(given.columns)}"
        )
    texts = given.column(options.target)
    without = MISSING.difference([options.positive.lower()] if options.positive else [])
    rows = [row for row, text in enumerate(texts) if text.strip().lower() not in without]
    missing = len(given) - len(rows)
    if missing and options.unlabeled == "refuse":
        first = next(n for n, text in enumerate(texts) if text.strip().lower() in without)
        raise errors.InputError(
            f"{given.path}, line {given.lines[first]}: {options.target} is missing, as in "
            f"{missing} of {len(given)} rows",
            remedy="fill it in, or leave these rows out: --set unlabeled=drop",
        )
    return given.take(rows), missing


def target_of(given: console.TextTable, options: Options) -> Ints:
    """1 (N) where a row was clicked and 0 where not.

    Raises:
        InputError: values that are neither, or one class alone.
    """
    texts = given.column(options.target)
    found = np.array(
        [
            _click(text.strip(), f"{given.path}, line {line}: {options.target}", texts, options)
            for text, line in zip(texts, given.lines, strict=True)
        ],
        np.int64,
    )
    if not 0 < found.sum() < len(found):
        raise errors.InputError(
            f"the target {options.target} is {'always' if found.any() else 'never'} a click",
            remedy="give rows of both kinds: from one kind nothing can be learned",
        )
    return found


def _click(text: str, where: str, texts: Sequence[str], options: Options) -> int:
    if (least := options.least_click) is not None:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isnan(value):
            return int(value >= least)
        raise errors.InputError(
            f"{where} is {text!r}, no number", remedy="correct it, or leave the row out"
        )
    if options.positive:
        return int(text == options.positive)
    if text.lower() in _YES:
        return _YES[text.lower()]
    raise errors.InputError(
        f"{where} is {text!r}, neither 0 nor 1, yes nor no",
        remedy=f"say which value is a click, {_told(texts)}; or from which number on: "
        "--set click_from=4",
    )


def _told(texts: Sequence[str]) -> str:
    """How a click is named by its value, and the values that there are."""
    values = sorted({text.strip() for text in texts})
    more = ", ..." if len(values) > _FEW else ""
    there = ", ".join(map(repr, values[:_FEW]))
    return f"of {there}{more}, as by --set {shlex.quote(f'positive={values[0]}')}"
