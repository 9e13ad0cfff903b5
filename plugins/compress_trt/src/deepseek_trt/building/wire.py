"""Answers of the child as plain values, and back: nothing of it is executed here."""

from __future__ import annotations

import json
from typing import Any, Final

import attrs

from deepseek_core import DeepSeekError, errors
from deepseek_trt.backends.backend import Border, Built, Identity, Parsed
from deepseek_trt.errors import BuildFailed, LibraryMissing, ModelRefused
from deepseek_trt.problem import Problem

Answer = Identity | Parsed | tuple[Identity, Built]

_ERRORS: Final[dict[str, type[DeepSeekError]]] = {
    kind.__name__: kind
    for kind in (BuildFailed, LibraryMissing, errors.ArtifactError, errors.ConfigError)
}


def packed(answer: Answer | DeepSeekError) -> tuple[bytes, bytes]:
    """An answer as JSON, and the bytes of an engine if it has one."""
    content = b""
    if isinstance(answer, DeepSeekError):
        given = _error(answer)
    elif isinstance(answer, Identity):
        given = {"identity": attrs.asdict(answer)}
    elif isinstance(answer, Parsed):
        given = {"parsed": attrs.asdict(answer)}
    else:
        identity, built = answer
        content = built.content
        borders = [border.to_json() for border in built.borders]
        given = {"identity": attrs.asdict(identity), "borders": borders}
    return json.dumps(given).encode(), content


def unpacked(text: bytes, content: bytes) -> Any:
    """The answer of `packed`; an error is returned, not raised."""
    given = json.loads(text)
    if "error" in given:
        return _error_of(given)
    if "parsed" in given:
        parsed = given["parsed"]
        problems = tuple(Problem(**each) for each in parsed["problems"])
        borders = _borders(parsed["borders"])
        return Parsed(accepted=parsed["accepted"], problems=problems, borders=borders)
    identity = Identity(**{**given["identity"], "targets": tuple(given["identity"]["targets"])})
    if "borders" not in given:
        return identity
    return identity, Built(content=content, borders=_borders(given["borders"]))


def _error(error: DeepSeekError) -> dict[str, Any]:
    problems = [each.to_json() for each in getattr(error, "problems", ())]
    return {
        "error": type(error).__name__,
        "message": error.message,
        "remedy": error.remedy,
        "device_id": getattr(error, "device_id", "tensorrt"),
        "problems": problems,
    }


def _error_of(given: dict[str, Any]) -> DeepSeekError:
    message, remedy = given["message"], given["remedy"]
    if given["error"] == ModelRefused.__name__:
        problems = tuple(Problem(**each) for each in given["problems"])
        device = given["device_id"]
        return ModelRefused(message, device_id=device, problems=problems, remedy=remedy)
    kind = _ERRORS.get(given["error"], BuildFailed)
    if issubclass(kind, errors.DeviceError):
        return kind(message, device_id=given["device_id"], remedy=remedy)
    return kind(message, remedy=remedy)


def _borders(rows: list[dict[str, Any]]) -> tuple[Border, ...]:
    return tuple(
        Border(**{**row, "shape": None if row["shape"] is None else tuple(row["shape"])})
        for row in rows
    )
