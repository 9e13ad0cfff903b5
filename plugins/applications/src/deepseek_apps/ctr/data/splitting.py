"""Which rows are trained on, stopped and calibrated on, and tested on."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.table import Inputs, Ints
from deepseek_apps.shared.splits import PARTS, Split, named_split, split
from deepseek_core import console, errors

_LEAST_OF_A_KIND: Final = 2
_YEAR_FIRST: Final = re.compile(r"(\d{4})/(\d\d)/(\d\d)")


@attrs.frozen(kw_only=True, eq=False)
class Marks:
    """What rows are split by: ids, and where the split needs them times (N) and groups (N)."""

    ids: Sequence[str]
    times: npt.NDArray[np.float64] | None
    groups: Sequence[str] | None


def marks_of(given: console.TextTable, inputs: Inputs, target: Ints, options: Options) -> Marks:
    """The marks of a file's rows.

    Raises:
        InputError: a column that is not there, or a time that is none.
    """
    needs_times = options.split in ("time", "time_in_group")
    return Marks(
        ids=row_ids(inputs, target),
        times=times_of(given, options.time) if needs_times else None,
        groups=given.column(options.group) if options.group else None,
    )


def split_rows(target: Ints, marks: Marks, options: Options) -> Split:
    """Numbers of the rows of each part.

    Raises:
        InputError: a part would lack clicks, or what is none.
    """
    test, validation = options.test, options.validation
    if options.split in ("random", "group"):
        found = split(
            marks.ids,
            {"train": 1 - test - validation, "validation": validation, "test": test},
            seed=options.split_seed,
            groups=marks.groups if options.split == "group" else None,
            classes=target.tolist(),
        )
    elif options.split == "time":
        assert marks.times is not None
        found = _later(marks.ids, [np.argsort(marks.times, kind="stable")], options)
    else:
        assert marks.times is not None and marks.groups is not None
        _, place = np.unique(np.array(marks.groups), return_inverse=True)
        order = np.lexsort((marks.times, place))
        cuts = np.flatnonzero(np.diff(place[order])) + 1
        found = _later(marks.ids, np.split(order, cuts), options)
    _check_parts(found, target)
    return found


def _later(ids: Sequence[str], runs: Sequence[Ints], options: Options) -> Split:
    """Split each run of rows in their order of time: the last to test on, then validation."""
    parts: dict[str, list[int]] = {name: [] for name in PARTS}
    for run in runs:
        test, validation = (round(share * len(run)) for share in (options.test, options.validation))
        first, second = len(run) - test - validation, len(run) - test
        for name, rows in zip(PARTS, (run[:first], run[first:second], run[second:]), strict=True):
            parts[name] += rows.tolist()
    return named_split(ids, parts)


def _check_parts(found: Split, target: Ints) -> None:
    for name, rows in found.parts.items():
        held = target[list(rows)]
        clicks = int(held.sum())
        if min(clicks, len(held) - clicks) < _LEAST_OF_A_KIND:
            raise errors.InputError(
                f"the {name} part has {clicks} clicks in {len(held)} rows",
                remedy=f"give more rows: each part needs {_LEAST_OF_A_KIND} clicks and "
                f"{_LEAST_OF_A_KIND} rows that are none",
            )


def row_ids(inputs: Inputs, target: Ints) -> list[str]:
    """A name for each row by its content; equal rows are numbered."""
    seen: dict[str, int] = {}
    found = []
    for key, kind in zip(row_keys(inputs), target.tolist(), strict=True):
        name = sha256(key + bytes([kind])).hexdigest()[:24]
        seen[name] = seen.get(name, -1) + 1
        found.append(f"{name}-{seen[name]}")
    return found


def row_keys(inputs: Inputs) -> list[bytes]:
    """The content of each row, equal for equal rows."""
    numbers = inputs.numbers.tobytes()
    width = inputs.numbers.shape[1] * inputs.numbers.itemsize
    return [
        numbers[row * width : (row + 1) * width] + "\0".join(texts).encode("utf-8", "surrogatepass")
        for row, texts in enumerate(inputs.categories.tolist())
    ]


def times_of(given: console.TextTable, name: str) -> npt.NDArray[np.float64]:
    """Moments (N) of a column of numbers or of ISO dates, on one scale.

    Raises:
        InputError: one is neither.
    """
    found = np.zeros(len(given))
    for row, text in enumerate(given.column(name)):
        try:
            found[row] = _moment(text.strip())
        except ValueError as error:
            raise errors.InputError(
                f"{given.path}, line {given.lines[row]}: {name} is {text!r}, which is no time",
                remedy="write numbers, or dates with the year first, such as 2026-11-30T21:00:00",
            ) from error
    return found


def _moment(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        at = datetime.datetime.fromisoformat(_YEAR_FIRST.sub(r"\1-\2-\3", text))
        return (at if at.tzinfo else at.replace(tzinfo=datetime.UTC)).timestamp()
    if not np.isfinite(value):
        raise ValueError(text)
    return value


def told(options: Options) -> str:
    """How rows were split, in a sentence."""
    how: dict[str, Any] = {
        "random": f"at random by class (seed {options.split_seed})",
        "group": f"groups of {options.group} kept whole (seed {options.split_seed})",
        "time": f"by {options.time}, the latest to test on",
        "time_in_group": f"by {options.time}, the latest of each {options.group} to test on",
    }
    shares = f"{options.validation:.0%} for validation, {options.test:.0%} to test"
    return f"{shares}; {how[options.split]}"
