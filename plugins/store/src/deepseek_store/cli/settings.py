"""Turns `--set name=value` into a policy, and paths into URLs of tiers."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from deepseek_core import console, errors
from deepseek_store.planning.policy import TIERS, Policy

_SCHEME: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:")
_SPANS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


def policy_of(settings: Iterable[str], base: Policy | None = None) -> Policy:
    """The policy that `name=value` texts make of `base`; `name.warm=value` sets one tier's.

    Values are JSON or bare words; those of `..._nbytes` may be written `64M`, those of `..._s`
    `12h` or `3d`.

    Raises:
        ConfigError: a name that there is not, or a value that does not fit; lists the names.
    """
    given: dict[str, Any] = (base or Policy()).to_json()
    for text in settings:
        name, equals, value = text.partition("=")
        if not equals:
            raise errors.ConfigError(f"--set {text!r} has no value", remedy="--set name=value")
        _put(given, name.strip(), value.strip())
    return Policy.from_json(given)


def _put(given: dict[str, Any], name: str, text: str) -> None:
    field, dot, tier = name.partition(".")
    if not dot:
        given[field] = _value(field, text)
        return
    if not isinstance(given.get(field), dict):
        known = ", ".join(key for key, value in given.items() if isinstance(value, dict))
        raise errors.ConfigError(
            f"policy: {field} has no value per tier", remedy=f"these have: {known}"
        )
    if tier not in TIERS:
        raise errors.ConfigError(
            f"policy: {name}: there is no tier {tier!r}",
            remedy=f"use one of {', '.join(TIERS)}",
        )
    given[field][tier] = _value(field, text)


def _value(name: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    if name.endswith("_nbytes"):
        try:
            return console.nbytes_of(text)
        except argparse.ArgumentTypeError as error:
            raise errors.ConfigError(f"policy: {name}: {error}", remedy=f"{name}=64M") from None
    span = _SPAN.fullmatch(text)
    if name.endswith("_s") and span is not None:
        return float(span[1]) * _SPANS[span[2]]
    return text


def tier_url(text: str) -> str:
    """The URL of a tier; a bare path, with or without `?options`, becomes one of a folder."""
    if _SCHEME.match(text):
        return text
    path, question, options = text.partition("?")
    if not path:
        raise errors.ConfigError(
            "a tier has no path", remedy="--warm FOLDER, or --cold s3://bucket"
        )
    return Path(path).expanduser().resolve().as_uri() + question + quote(options, safe="=&,:/%")
