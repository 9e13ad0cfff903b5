"""What looks like a leak: a column that tells the target, rows and groups on both sides."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Final

import numpy as np

from deepseek_apps.ctr.data.splitting import Marks, row_keys
from deepseek_apps.ctr.features.map import fit_features
from deepseek_apps.ctr.features.statistics import fit_statistics
from deepseek_apps.ctr.measures import auc
from deepseek_apps.ctr.options import Options
from deepseek_apps.ctr.table import Table
from deepseek_apps.shared.leaks import leaks

TELLING: Final = 0.99
"""The AUC of a column alone from which it is said to tell the target."""
_FEW: Final = 20
_NAMES: Final = re.compile(
    r"(.*[._ -])?(id|nr|no|num|number|seqno|user|customer|client|patient|subject|person|session|"
    r"household|family|device|visitor|account)([._ -]?(id|nr|no|num|number))?",
    re.IGNORECASE,
)
"""How columns are called that name somebody."""

Rows = Mapping[str, Sequence[int]]


def warnings_of(table: Table, marks: Marks, parts: Rows, options: Options) -> list[str]:
    """What to know before the figures are believed."""
    names = [f"row {row + 1}" for row in range(len(table))]
    found = [one.sentence for one in leaks(row_keys(table.inputs), parts, names=names)]
    if marks.groups is not None and options.split != "time_in_group":
        shared = leaks(marks.groups, parts, what=f"group ({options.group})")
        found += [one.sentence for one in shared]
    return [*telling_columns(table, parts), *found]


def telling_columns(table: Table, parts: Rows) -> list[str]:
    """Columns that alone tell the target of the test part, as fitted on the training part."""
    train, test = (table.take(np.array(parts[name])) for name in ("train", "test"))
    features = fit_features(train.inputs, num_bins=64, min_count=1)
    of_train, of_test = (features.encode(one.inputs).ids for one in (train, test))
    found = []
    for at, field in enumerate(features.fields):
        start = features.offsets[at]
        fitted = fit_statistics(of_train[:, at] - start, train.target, field.num_ids, 1.0)
        alone = auc(test.target, fitted.values(of_test[:, at] - start))
        if alone >= TELLING:
            found.append(
                f"the column {field.name} alone tells the target (AUC {alone:.3f}): leave it out "
                f"if it is known only afterwards: {_setting('drop', field.name)}"
            )
    return found


def codes_perhaps(table: Table) -> list[str]:
    """A note on columns of few whole numbers: these may be codes."""
    found = []
    for at, name in enumerate(table.inputs.columns.numbers):
        values = np.unique(table.inputs.numbers[:, at])
        held = values[~np.isnan(values)]
        if 2 < len(held) <= _FEW and (held == np.round(held)).all():
            found.append(name)
    if not found:
        return []
    return [
        f"read as numbers, and of at most {_FEW} whole values: {', '.join(found)}; "
        f"if they are codes: {_setting('categories', *found)}"
    ]


def names_perhaps(table: Table, options: Options) -> list[str]:
    """Notes on columns that seem to name rows, or those whom rows are of."""
    inputs, rows = table.inputs, len(table)
    values = dict(
        chain(
            zip(inputs.columns.numbers, inputs.numbers.T, strict=True),
            zip(inputs.columns.categories, inputs.categories.T, strict=True),
        )
    )
    unlike, alike = [], []
    for name, column in values.items():
        several = len(np.unique(column))
        if several == rows and (column.dtype.kind == "U" or _NAMES.fullmatch(name)):
            unlike.append(name)
        elif several > _FEW and _NAMES.fullmatch(name) and name != options.group:
            alike.append(name)
    found = []
    if unlike:
        found.append(
            f"another value in each row: {', '.join(unlike)}; nothing can be learned from a name: "
            f"{_setting('drop', *unlike)}"
        )
    if alike and options.split == "random":
        found.append(
            f"{', '.join(alike)}: if rows of one are alike, and the model is for new ones, keep "
            f"them whole: --set split=group {_setting('group', alike[0])}"
        )
    return found


def _setting(name: str, *values: str) -> str:
    """An option as one pastes it into a shell."""
    joined = ",".join(values)
    return f"--set {shlex.quote(f'{name}={joined}')}"
