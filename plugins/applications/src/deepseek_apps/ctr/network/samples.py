"""The file that a training of networks reads: encoded rows, targets and folds.

Legend: N rows, F fields, M numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from deepseek_apps.ctr.arrays import load_arrays, save_arrays
from deepseek_apps.ctr.table import Floats, Ints
from deepseek_core import errors

NO_FOLD = -1
"""The fold of rows that no member is fitted on: all members are measured on them."""


@attrs.frozen(kw_only=True, eq=False)
class Samples:
    """Encoded rows; `fold` is the member that leaves a row out, `rows` the size of the table.

    `fingerprint` is that of the feature map that encoded them.
    """

    ids: Ints
    numbers: Floats
    target: Ints
    fold: Ints
    rows: int
    fingerprint: str

    def part(self, *, fitted: bool) -> Samples:
        """The rows that members are fitted on, or the others."""
        kept = (self.fold != NO_FOLD) == fitted
        return attrs.evolve(
            self,
            ids=self.ids[kept],
            numbers=self.numbers[kept],
            target=self.target[kept],
            fold=self.fold[kept],
        )


def write_samples(samples: Samples, path: Path) -> None:
    """Write the file, whole or not at all."""
    save_arrays(path, attrs.asdict(samples))


def read_samples(path: Path) -> Samples:
    """Read the file.

    Raises:
        ArtifactError: it is missing, or none.
    """
    held = load_arrays(path)
    names = [field.name for field in attrs.fields(Samples)]
    if sorted(held) != sorted(names):
        raise errors.ArtifactError(
            f"{path} holds no samples", remedy="train again: it is written there"
        )
    content: dict[str, Any] = {name: held[name] for name in names}
    return Samples(
        **{
            **content,
            "rows": int(content["rows"]),
            "fingerprint": str(content["fingerprint"]),
        }
    )
