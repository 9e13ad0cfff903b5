"""The manifest beside an engine: what it is, for whom, and the hash of its bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, Final

import attrs

from deepseek_trt.backends.backend import Border
from deepseek_trt.errors import EngineDamaged

FORMAT: Final = "deepseek-trt engine 1"
_AGAIN: Final = "build the engine again"


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Manifest:
    """What an engine is.

    `flavor`, `version`, `targets` and `device` say what runs it; `options` what it was built with;
    `model` is the digest of its model, `key` that of all of these. `warnings` are those of our
    rules. A `simulated` one is a text in the place of an engine, and runs nowhere.
    """

    flavor: str
    version: str
    targets: tuple[str, ...] = attrs.field(converter=_strings)
    device: str
    options: dict[str, Any]
    model: str
    key: str
    sha256: str
    nbytes: int
    borders: tuple[Border, ...]
    warnings: tuple[str, ...] = attrs.field(default=(), converter=_strings)
    simulated: bool = False

    def check_content(self, content: bytes, where: str) -> None:
        """See that these are the bytes.

        Raises:
            EngineDamaged: they are not.
        """
        if len(content) != self.nbytes or hashlib.sha256(content).hexdigest() != self.sha256:
            what = f"{where} is damaged: its {len(content)} bytes are not those of its manifest"
            raise EngineDamaged(what, remedy=_AGAIN)

    def to_json(self) -> dict[str, Any]:
        """Plain values by name; `inputs` and `outputs` are separate."""
        given = attrs.asdict(self, recurse=False)
        given["targets"], given["warnings"] = list(self.targets), list(self.warnings)
        del given["borders"]
        rows = [border.to_json() for border in self.borders]
        given["inputs"] = [_bare(row) for row in rows if row["is_input"]]
        given["outputs"] = [_bare(row) for row in rows if not row["is_input"]]
        return {"format": FORMAT, **given}

    def text(self) -> str:
        """The manifest as it lies on disk."""
        return json.dumps(self.to_json(), indent=1) + "\n"


def read_manifest(text: str | bytes, where: str) -> Manifest:
    """The manifest that `text` wrote.

    Raises:
        EngineDamaged: it is none, or of a newer form.
    """
    try:
        given = json.loads(text)
        form = given.pop("format")
        if form != FORMAT:
            raise EngineDamaged(f"{where} has form {form!r}, not {FORMAT!r}", remedy=_AGAIN)
        inputs, outputs = given.pop("inputs"), given.pop("outputs")
        borders = (*(_border(i, True) for i in inputs), *(_border(o, False) for o in outputs))
        return Manifest(**given, borders=borders)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        if isinstance(error, EngineDamaged):
            raise
        raise EngineDamaged(f"{where} is not a manifest: {error!r}", remedy=_AGAIN) from error


def _bare(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "dtype": row["dtype"],
        "shape": None if row["shape"] is None else list(row["shape"]),
    }


def _border(row: dict[str, Any], is_input: bool) -> Border:
    given = row["shape"]
    shape = None if given is None else tuple(int(length) for length in given)
    return Border(name=row["name"], dtype=row["dtype"], shape=shape, is_input=is_input)
