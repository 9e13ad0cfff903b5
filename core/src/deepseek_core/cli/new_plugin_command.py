"""`ds-sdk new-plugin`: a plugin that works, in a folder of its own."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deepseek_core.cli.answer import print_json, print_lines
from deepseek_core.cli.scaffold.kinds import KINDS
from deepseek_core.cli.scaffold.names import Names, check_free, checked_names
from deepseek_core.contracts.errors import ConfigError

SUMMARY: Final = "make a plugin that works and keeps every promise of its kind"
EXAMPLES: Final = """examples:
  ds-sdk new-plugin device acme_npu
  ds-sdk new-plugin storage-tier acme_tape --folder plugins/tape
  ds-sdk new-plugin command acme_flash --dist acme-tools --author "Ada Lovelace"
kinds: device, storage-tier, strategy, compressor, model-compressor, frontend, command, executor,
  application"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("kind", metavar="KIND", choices=list(KINDS), help="what it offers")
    parser.add_argument(
        "name", metavar="NAME", help="its name, such as acme_npu; also that of its package"
    )
    parser.add_argument("--folder", metavar="F", help="where to make it (default: ./DIST)")
    parser.add_argument("--dist", metavar="D", help="what pip calls it (default: from the name)")
    parser.add_argument("--author", metavar="A", help="who is named as its author")
    parser.add_argument("--force", action="store_true", help="write into a folder with files")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Write the files; print the tree and what to do next."""
    from deepseek_core.cli.scaffold.render import rendered, write

    names = checked_names(args.name, args.dist, args.author)
    folder = Path(args.folder or names.dist)
    check_free(names, args.kind, folder)
    _check_folder(folder, force=args.force)
    texts = rendered(KINDS[args.kind], names)
    try:
        write(folder, texts)
    except OSError as error:
        raise ConfigError(
            f"can't write to {error.filename or folder}: {error.strerror}",
            remedy="choose another --folder",
        ) from error
    commands = _next_commands(folder, names)
    if args.json:
        print_json({"folder": str(folder), "files": list(texts), "next": commands}, indent=2)
    else:
        print_lines(_text(folder, texts, commands))
    return 0


def _check_folder(folder: Path, *, force: bool) -> None:
    """Refuse to mix with files that are there.

    Raises:
        ConfigError: the folder has files in it, or is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"{folder} is a file", remedy="choose another --folder")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise ConfigError(
            f"{folder} is not empty", remedy="choose another --folder, or pass --force"
        )


def _next_commands(folder: Path, names: Names) -> list[str]:
    place = f"./{folder}" if not folder.is_absolute() else str(folder)
    return [
        f"pip install -e {shlex.quote(place + '[test]')}",
        f"ds-sdk check-plugin {names.name}",
        f"pytest {shlex.quote(str(folder))}",
    ]


def _text(folder: Path, texts: Iterable[str], commands: Iterable[str]) -> str:
    lines = [f"{folder}/", *_tree(texts), "", "next:", *(f"  {line}" for line in commands)]
    return "\n".join(lines)


def _tree(paths: Iterable[str]) -> list[str]:
    """Sorted paths as an indented tree; a folder stands once, before its files."""
    lines: list[str] = []
    known: set[tuple[str, ...]] = set()
    for path in paths:
        *folders, name = path.split("/")
        for depth in range(1, len(folders) + 1):
            if (head := tuple(folders[:depth])) not in known:
                known.add(head)
                lines.append("  " * depth + f"{head[-1]}/")
        lines.append("  " * (len(folders) + 1) + name)
    return lines
