"""The report of a job: all that its figures rest on, as one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_apps.work.folder import WorkFolder, training
from deepseek_apps.work.machine import versions
from deepseek_apps.work.state import now, read_json, read_state, write_json
from deepseek_core import applications, errors

SCHEMA: Final = 1
_PLAIN: Final = (
    "application",
    "version",
    "made",
    "machines",
    "seeds",
    "options",
    "cpu_s",
    "versions",
)


@attrs.frozen(kw_only=True)
class Report:
    """One job; `cpu_s` are CPU seconds by step, `machines` those that did them."""

    application: str
    version: str
    made: str
    card: applications.DataCard
    evaluation: applications.Evaluation
    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    cpu_s: Mapping[str, float]
    machines: tuple[str, ...]
    versions: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """Plain values, as report.json holds them."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        lists = {"machines": list(self.machines), "seeds": list(self.seeds)}
        return {
            "schema": SCHEMA,
            **plain,
            **lists,
            "data": self.card.to_json(),
            "evaluation": self.evaluation.to_json(),
            "outcomes": [
                {"sentence": each.sentence, "outcome": each.outcome}
                for each in self.evaluation.differences
            ],
        }

    @classmethod
    def from_json(cls, kept: object) -> Report:
        """What `to_json` gave; what follows from the figures is not read but follows again.

        Raises:
            ArtifactError: another schema, or a part that is missing, unknown or does not fit.
        """
        if not isinstance(kept, Mapping) or kept.get("schema") != SCHEMA:
            raise errors.ArtifactError(
                f"a report has schema {SCHEMA}", remedy="make it again: ds-sdk app NAME report"
            )
        parts = {"schema", "data", "evaluation", "outcomes", *_PLAIN}
        if set(kept) != parts:
            wrong = ", ".join(sorted(map(str, parts ^ set(kept))))
            raise errors.ArtifactError(
                f"a report lacks or does not have: {wrong}", remedy="make it again"
            )
        return cls(
            card=applications.DataCard.from_json(kept["data"]),
            evaluation=applications.Evaluation.from_json(kept["evaluation"]),
            **{name: _row(kept[name]) for name in _PLAIN},
        )

    def write(self, path: Path) -> None:
        """Write it whole or not at all.

        Raises:
            WriteError: it can't be written.
        """
        write_json(path, self.to_json())


def _row(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def report_of(path: Path) -> Report:
    """The report of a work folder, or the one that a file holds.

    Raises:
        ConfigError: no work folder, or one in which nothing was evaluated with what is there now.
        ArtifactError: a file that is no report.
    """
    if path.is_file():
        return Report.from_json(read_json(path))
    state = read_state(path)
    if state is None or state.card is None:
        raise errors.ConfigError(
            f"{path} is no work folder", remedy="ds-sdk app NAME prepare FOLDER --data DATA"
        )
    evaluation = WorkFolder(path, state.application).evaluation()
    seeds = [int(s) for s in state.steps["evaluate"].made_with["seeds"].split(",")]
    used = {
        n: s for n, s in state.steps.items() if n in {"prepare", "evaluate", *map(training, seeds)}
    }
    return Report(
        application=state.application,
        version=state.version,
        made=now(),
        card=state.card,
        evaluation=evaluation,
        seeds=tuple(seeds),
        options=state.options,
        cpu_s={name: step.cpu_s for name, step in used.items()},
        machines=tuple(sorted({step.machine for step in used.values()} - {""})),
        versions=versions(),
    )
