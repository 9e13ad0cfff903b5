"""`ds-sdk app NAME run`: answers of exported files, on the devices present."""

from __future__ import annotations

import argparse
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from deepseek_apps.cli import common
from deepseek_apps.work import manifest
from deepseek_apps.work.state import NAME as STATE
from deepseek_core import Session, applications, console, errors

EXAMPLES: Final = """examples:
  ds-sdk app NAME run work INPUT ...          with what was exported to work/export
  ds-sdk app NAME run files INPUT ...         with files that were exported elsewhere
  ds-sdk app NAME run work INPUT -o answers.jsonl
  ds-sdk app NAME run work INPUT --device cpu
  ds-sdk app NAME run work INPUT --set OPTION=VALUE   an option that may be given here

It prints a line of JSON for each item, in the order of the inputs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="exported files, or work folder"
    )
    parser.add_argument("inputs", type=Path, nargs="+", metavar="INPUT", help="files to answer")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="write the lines there, whole or not at all",
    )
    parser.add_argument(
        "--device", action="append", metavar="DEVICE", help="use only this device; may be repeated"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="pairs",
        help="an option that may be given for a run: ds-sdk app NAME --help marks them",
    )  # fmt: skip
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="of the host, for it (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="lines of JSON (as without it)")


def run(args: argparse.Namespace) -> int:
    """Answer the inputs.

    Raises:
        ArtifactError: files that are missing, changed, or of another application or export.
        InputError: an input that can't be read.
        ConfigError: an option that can't be given here, or does not fit.
    """
    common.check_threads(args.threads)
    for path in args.inputs:
        if not path.exists():
            raise errors.InputError(f"no such file: {path}", remedy="check the path")
    target, options = _exported(args)
    changes = common.settings_of(args.pairs)
    _check_at_run(args.application, changes)
    opened = applications.open_application(args.application, {**options, **changes})
    with Session(threads=args.threads, devices=args.device) as session:
        rows = opened.application.run(target, args.inputs, session)
        _write(args.output, _lines(rows))
    return 0


def _check_at_run(name: str, changes: Mapping[str, str]) -> None:
    """Refuse options that were settled when the data were prepared."""
    if not changes:
        return
    may = [option.name for option in applications.offers()[name].options() if option.at_run]
    wrong = [change for change in changes if change not in may]
    if wrong:
        raise errors.ConfigError(
            f"{wrong[0]} can't be set for a run: what was exported does not change",
            remedy=f"here may be set: {', '.join(may) or 'nothing'}",
        )


def _exported(args: argparse.Namespace) -> tuple[Path, Mapping[str, Any]]:
    """The folder of the files, and the options that they were made with."""
    target = args.folder / "export" if (args.folder / STATE).is_file() else args.folder
    if not (target / manifest.NAME).is_file():
        raise errors.ConfigError(
            f"nothing was exported to {target}",
            remedy=f"ds-sdk app {args.application} export {args.folder}",
        )
    kept = manifest.read(target)
    if kept["application"] != args.application:
        raise errors.ConfigError(
            f"the files in {target} are of {kept['application']!r}",
            remedy=f"ds-sdk app {kept['application']} run "
            + shlex.join(map(str, (args.folder, *args.inputs))),
        )
    return target, kept["options"]


def _lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(dict(row), ensure_ascii=False, allow_nan=False)


def _write(path: Path | None, lines: Iterable[str]) -> None:
    if path is None:
        for line in lines:
            console.print_lines(line)
            console.flush()
        return
    with console.whole_file(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)
