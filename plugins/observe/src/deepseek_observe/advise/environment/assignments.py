"""Assignments as files have them: scripts, launchers' options, dotenv, Docker and Kubernetes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from typing import Final

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_ASSIGNED: Final = re.compile(r"[A-Z_][A-Z0-9_]*=")
_EXPORT: Final = re.compile(
    r"(?:^|[;&|]|\bthen\b|\bdo\b|\belse\b)\s*"
    r"(?:export|declare\s+-\w*x\w*|typeset\s+-\w*x\w*|ENV)\s+(?=[A-Za-z_])"
)
_UNSET: Final = re.compile(r"unset\s+(?:-v\s+)?(.*)")
_DOCKER: Final = re.compile(r"ENV\s+([A-Za-z_]\w*)\s+([^=\s]\S*)\s*$")
_NAMED: Final = re.compile(r"-?\s*name:\s*[\"']?([A-Z_][A-Z0-9_]*)[\"']?\s*$")
_VALUED: Final = re.compile(r"value:\s*(.*)$")
_MAPPED: Final = re.compile(r"((?:NCCL|RCCL|GLOO|UCX|TORCH|CUDA|HIP|OMP|FI)_[A-Z0-9_]+):\s+(\S.*)$")
_OPTIONS: Final = ("-x", "-e", "--env", "-env")
_COMMAND: Final = re.compile(
    r"(?:torchrun|srun|mpirun|mpiexec|bash|sh|accelerate|deepspeed|horovodrun|exec|nohup|numactl|"
    r"python[\d.]*|\S*/\S+)$"
)
_COMMENT: Final = re.compile(r"\s#.*$")

Found = tuple[str, str | None]


def assignments(text: str) -> Iterator[Found]:
    """Names and values in their order; a value of None takes the variable out."""
    if "\0" in text:  # /proc/PID/environ, env -0
        for part in text.split("\0"):
            name, equals, value = part.partition("=")
            if equals and NAME.fullmatch(name):
                yield name, value
        return
    joined = re.sub(r"\\\r?\n\s*", " ", text.replace("\ufeff", ""))
    named = None
    for raw in joined.splitlines():
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        valued = _VALUED.match(line)
        if named is not None and valued is not None:
            yield named, _bare(valued[1])
        found = _NAMED.match(line)
        named = None if found is None else found[1]
        if found is None and valued is None:
            yield from _of_line(line)


def _of_line(line: str) -> Iterator[Found]:
    unset = _UNSET.match(line)
    if unset:
        yield from ((name, None) for name in unset[1].split() if NAME.fullmatch(name))
        return
    docker, mapped = _DOCKER.match(line), _MAPPED.match(line)
    if docker:
        yield docker[1], docker[2]
    elif mapped:
        yield mapped[1], _bare(mapped[2])
    elif _EXPORT.search(line):
        for found in _EXPORT.finditer(line):
            yield from _assigned(_words(line[found.end() :]))
    elif _is_single(line):
        yield from _single(line)
    else:
        yield from _of_options(_words(line))


def _is_single(line: str) -> bool:
    name, equals, _ = line.partition("=")
    return bool(equals) and NAME.fullmatch(name) is not None


def _single(line: str) -> Iterator[Found]:
    """`A=1`, `A='x y'`, `A=1 B=2 command`; but what `env` prints has spaces without quotes."""
    name, _, value = line.partition("=")
    words = _words(line)
    before = words[1:2]
    if value[:1] in ("'", '"') or (
        before and (_ASSIGNED.match(before[0]) or _COMMAND.match(before[0]))
    ):
        yield from _assigned(words)
        yield from _of_options(words)
    else:
        yield name, _COMMENT.sub("", value).strip().removesuffix(";")


def _assigned(words: Sequence[str]) -> Iterator[Found]:
    """The assignments that a row of words begins with."""
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not NAME.fullmatch(name):
            return
        yield name, value.removesuffix(";")
        if word.endswith(";"):
            return


def _of_options(words: Sequence[str]) -> Iterator[Found]:
    """`-x A=1` of mpirun, `--env A=1` of docker, `--export=ALL,A=1` of Slurm."""
    for place, word in enumerate(words):
        if word.startswith("--export="):
            yield from _assigned(
                [part for part in word.removeprefix("--export=").split(",") if "=" in part]
            )
        elif word in _OPTIONS and place + 1 < len(words):
            yield from _assigned(words[place + 1 : place + 2])
        elif word.startswith("--env="):
            yield from _assigned([word.removeprefix("--env=")])


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # a quote that is open: as far as it goes
        return line.split()


def _bare(value: str) -> str:
    words = _words(value)
    return words[0] if words else ""
