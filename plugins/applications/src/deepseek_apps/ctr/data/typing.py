"""Columns of text as numbers, categories, and a target."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

import numpy as np

from deepseek_apps.ctr.options import Options, names_in
from deepseek_apps.ctr.table import Columns, Floats, Inputs, Ints, Texts, bounded
from deepseek_apps.shared.tables import Table as TextTable
from deepseek_core import errors

MISSING: Final = frozenset(("", "na", "n/a", "nan", "null", "none", "?"))
"""What stands for no value, in any case of letters."""
_YES: Final = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0}


def typed_inputs(given: TextTable, options: Options) -> Inputs:
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


def inputs_like(given: TextTable, columns: Columns) -> Inputs:
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


def numbers_of(given: TextTable, name: str) -> Floats | None:
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
            continue
        if math.isinf(found[row]):
            raise errors.InputError(
                f"{given.path}, line {given.lines[row]}: {name} is {text!r}, no finite number",
                remedy="leave the cell empty where the value is missing",
            )
    if not held or len(strange) > held / 10:
        return None
    if strange:
        raise errors.InputError(
            f"{given.path}, line {given.lines[strange[0]]}: {name} is {texts[strange[0]]!r}, and "
            f"a number in most other lines ({len(strange)} of {held} are none)",
            remedy=f"correct them, leave them empty, or name it: --set categories={name}",
        )
    return bounded(found)


def target_of(given: TextTable, options: Options) -> Ints:
    """1 (N) where a row was clicked and 0 where not.

    Raises:
        ConfigError: no target is named.
        InputError: there is no such column, values that are neither, or one class alone.
    """
    if not options.target:
        raise errors.ConfigError(
            "no target is named", remedy=f"--set target=COLUMN, one of: {', '.join(given.columns)}"
        )
    texts = given.column(options.target)
    found = np.array(
        [
            _click(text.strip(), f"{given.path}, line {line}: {options.target}", options)
            for text, line in zip(texts, given.lines, strict=True)
        ],
        np.int64,
    )
    if not 0 < found.sum() < len(found):
        raise errors.InputError(
            f"the target {options.target} is {'always' if found.sum() else 'never'} a click",
            remedy="give rows of both kinds: from one kind nothing can be learned",
        )
    return found


def _click(text: str, where: str, options: Options) -> int:
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
        f"{where} is {text!r}, neither 0 nor 1",
        remedy="say which value is a click (--set positive=VALUE), or from which number on "
        "(--set click_from=4)",
    )
