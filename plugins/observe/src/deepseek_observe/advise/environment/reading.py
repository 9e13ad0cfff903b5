"""Environments out of files: `env`, `export` lines, dotenv, nccl.conf, /proc/PID/environ."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import Final

import attrs

from deepseek_core import errors

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_EXPORT: Final = re.compile(r"(?:export|declare\s+-\w*x\w*|typeset\s+-\w*x\w*|ENV)\s+(?=[A-Za-z_])")
_UNSET: Final = re.compile(r"unset\s+(?:-v\s+)?(.*)")
_COMMENT: Final = re.compile(r"\s#.*$")


@attrs.frozen(kw_only=True)
class Environment:
    """Variables by name; `twice` maps those that were given other values first to all of them."""

    source: str
    values: Mapping[str, str]
    twice: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict)


def parse_environment(text: str, source: str) -> Environment:
    """Read assignments; comments, quotes and continued lines as a shell has them, the last wins.

    Raises:
        ArtifactError: there is no assignment in it.
    """
    given: dict[str, list[str]] = {}
    seen = False
    for name, value in _assignments(text):
        seen = True
        if value is None:
            given.pop(name, None)
        elif value not in given.setdefault(name, [])[-1:]:
            given[name].append(value)
    if not seen:
        raise errors.ArtifactError(
            f"{source} has no line NAME=VALUE", remedy="give the output of `env`, or a script"
        )
    return Environment(
        source=source,
        values={name: values[-1] for name, values in given.items()},
        twice={name: tuple(values) for name, values in given.items() if len(values) > 1},
    )


def _assignments(text: str) -> Iterator[tuple[str, str | None]]:
    if "\0" in text:  # /proc/PID/environ, env -0
        for part in text.split("\0"):
            name, equals, value = part.partition("=")
            if equals and _NAME.fullmatch(name):
                yield name, value
        return
    joined = re.sub(r"\\\r?\n\s*", " ", text.replace("\ufeff", ""))
    for raw in joined.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        unset = _UNSET.match(line)
        if unset:
            yield from ((name, None) for name in unset[1].split() if _NAME.fullmatch(name))
            continue
        exported = _EXPORT.match(line)
        if exported:
            yield from _words(line[exported.end() :])
        else:
            yield from _single(line)


def _words(line: str) -> Iterator[tuple[str, str]]:
    try:
        words = shlex.split(line, comments=True)
    except ValueError:  # a quote that is open: as far as it goes
        words = line.split()
    for word in words:
        name, equals, value = word.partition("=")
        if equals and _NAME.fullmatch(name):
            yield name, value


def _single(line: str) -> Iterator[tuple[str, str]]:
    name, equals, value = line.partition("=")
    if not equals or not _NAME.fullmatch(name):
        return
    if value[:1] in ("'", '"'):
        yield from _words(line)
    else:
        yield name, _COMMENT.sub("", value).strip().removesuffix(";")
