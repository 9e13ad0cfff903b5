"""The folder of one training: with which options, on which data and vocabulary."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import attrs

from deepseek_apps.translate.options import Options
from deepseek_apps.translate.shape import Shape
from deepseek_core import errors

_FILE: Final = "run.json"


@attrs.frozen(kw_only=True)
class Run:
    """What a training was begun with; `vocabulary` is a fingerprint, `data` a folder."""

    folder: Path
    data: Path
    seed: int
    options: Options
    shape: Shape
    vocabulary: str

    def facts(self) -> dict[str, object]:
        """Values for JSON; the folder of the data is told from the run's own."""
        return {
            "seed": self.seed,
            "options": attrs.asdict(self.options),
            "shape": attrs.asdict(self.shape),
            "vocabulary": self.vocabulary,
        }


def begin_run(run: Run) -> None:
    """Write what it is begun with, or see that it is what the folder was begun with.

    Raises:
        ConfigError: the folder holds a run with other options or data.
    """
    path = run.folder / _FILE
    if path.exists():
        held = read_run(run.folder).facts()
        changed = [name for name, value in run.facts().items() if held[name] != value]
        if changed:
            raise errors.ConfigError(
                f"{run.folder} holds a training of other {' and '.join(changed)}",
                remedy=f"take it away to train again: rm -r {run.folder}",
            )
        return
    run.folder.mkdir(parents=True, exist_ok=True)
    from deepseek_core import console

    with console.whole_file(path) as partial:
        partial.write_text(json.dumps(run.facts(), indent=1), encoding="utf-8")


def read_run(folder: Path) -> Run:
    """Read it.

    Raises:
        ArtifactError: there is none, or it was changed into something else.
    """
    try:
        held = json.loads((folder / _FILE).read_text(encoding="utf-8"))
        return Run(
            folder=folder, data=folder.parent / "data", seed=held["seed"],
            options=Options(**held["options"]), shape=Shape(**held["shape"]),
            vocabulary=held["vocabulary"],
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise errors.ArtifactError(
            f"{folder} holds no training: {error}", remedy="train that seed first"
        ) from error
