"""What was done in a work folder, and with what: `app.json`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import applications, console, errors

NAME: Final = "app.json"
SCHEMA: Final = 1


@attrs.frozen(kw_only=True)
class Step:
    """A step that was begun; `made_with` has a fingerprint of each thing that it rests on.

    Its times are of all its runs that were not killed; `machine` is the one that ended it.
    """

    made_with: Mapping[str, str]
    is_done: bool = False
    seconds: float = 0.0
    cpu_s: float = 0.0
    ended: str = ""
    machine: str = ""


@attrs.frozen(kw_only=True)
class State:
    """One job: the application, its options as JSON has them, its data, its steps by name."""

    application: str
    version: str
    options: Mapping[str, Any] = attrs.field(factory=dict)
    card: applications.DataCard | None = None
    steps: Mapping[str, Step] = attrs.field(factory=dict)

    def with_step(self, name: str, step: Step) -> State:
        """The state after a step was begun or ended."""
        return attrs.evolve(self, steps={**self.steps, name: step})

    def without(self, name: str) -> State:
        """The state as if a step had not been done."""
        return attrs.evolve(self, steps={n: step for n, step in self.steps.items() if n != name})

    def write(self, folder: Path) -> None:
        """Put it in its place, whole or not at all.

        Raises:
            WriteError: it can't be written.
        """
        card = None if self.card is None else self.card.to_json()
        plain = {"schema": SCHEMA, **attrs.asdict(self), "card": card}
        write_json(folder / NAME, plain)


def read_state(folder: Path) -> State | None:
    """The state of a work folder, None where there is none.

    Raises:
        ArtifactError: the file is damaged, or of another schema.
    """
    path = folder / NAME
    if not path.is_file():
        return None
    kept = read_json(path)
    schema = kept.get("schema") if isinstance(kept, Mapping) else None
    if schema != SCHEMA:
        raise errors.ArtifactError(
            f"{path} has schema {schema!r}; this version reads {SCHEMA}",
            remedy="prepare in a new folder, or use the version that made this one",
        )
    try:
        return _state({name: value for name, value in kept.items() if name != "schema"})
    except (TypeError, AttributeError) as error:
        raise errors.ArtifactError(
            f"{path} is damaged: {error}", remedy="prepare in a new folder"
        ) from error


def _state(kept: dict[str, Any]) -> State:
    card = kept.pop("card", None)
    steps = {name: Step(**step) for name, step in kept.pop("steps").items()}
    found = None if card is None else applications.DataCard.from_json(card)
    return State(**kept, card=found, steps=steps)


def read_json(path: Path) -> Any:
    """What a file of this plugin holds.

    Raises:
        ArtifactError: it can't be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise errors.ArtifactError(
            f"{path} can't be read: {error.strerror or error}", remedy="check the path"
        ) from error
    except ValueError as error:
        raise errors.ArtifactError(
            f"{path} is damaged: {error}", remedy="run the step that made it again"
        ) from error


def write_json(path: Path, plain: Any) -> None:
    """Write a file whole or not at all.

    Raises:
        WriteError: it can't be written.
    """
    text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    with console.whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def plain_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON has them."""

    def plain(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [plain(each) for each in value]
        return str(value) if isinstance(value, Path) else value

    return {name: plain(value) for name, value in options.items()}


def now() -> str:
    """The time as `app.json` tells it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
