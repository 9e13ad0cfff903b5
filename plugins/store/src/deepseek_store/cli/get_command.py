"""`ds-sdk store get`: objects, folders, or a part of an object; verified."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import attrs

from deepseek_core import console, errors
from deepseek_store.cli.byte_progress import ByteProgress
from deepseek_store.cli.common import (
    Command,
    add_home,
    add_json,
    add_quiet,
    open_store,
    stdout_bytes,
    tell,
    write_whole,
)
from deepseek_store.cli.download_objects import (
    Download,
    Downloader,
    downloads_of,
    open_target,
    pieces_of,
)
from deepseek_store.cli.file_options import add_kept, check_outside, kept_of
from deepseek_store.cli.key_view import KeyView
from deepseek_store.cli.local.target_folder import Unwritable, opened_to_write
from deepseek_store.cli.partial_failures import Troubles, shown
from deepseek_store.cli.selection import Chosen, add_names, choose, last_part, selection_of
from deepseek_store.cli.upload_files import own_folders, store_folders
from deepseek_store.planning.amounts import counted

_EXAMPLES: Final = """examples:
  ds-sdk store get data runs/7/model.onnx model.onnx
  ds-sdk store get data runs/7/model.onnx log.txt here/       here/model.onnx, here/log.txt
  ds-sdk store get data train images -r                       train/a/b.png is images/a/b.png
  ds-sdk store get data images masks sets -r                  sets/images/..., sets/masks/...
  ds-sdk store get data 'runs/*/model.onnx' models            models/7/model.onnx
  ds-sdk store get data train images -r --exclude '*.tmp'
  ds-sdk store get data backup/images.tar - | tar x
  ds-sdk store get data log.txt - --range=1000:2000           bytes 1000 to 1999
  ds-sdk store get data config.json - --snapshot monday       as it was

One folder becomes the folder FILE, with a slash behind its name or without one, as `rclone copy`
has it. Of several, each keeps its name below FILE. Where an object has the name of a folder, its
file is NAME.ds-object. Writing to a FIFO waits for a reader. What can't be written is named, the
rest is fetched, and the exit code is 1."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    add_names(parser)
    parser.add_argument(
        "file", metavar="FILE", help="where to write it: a file, - for stdout, a folder"
    )
    parser.add_argument(
        "--recursive", "-r", action="store_true", help="folders with everything in them"
    )
    parser.add_argument("--range", type=_range, metavar="START:STOP", help="only these bytes of it")
    parser.add_argument("--snapshot", metavar="NAME", help="as it was in this snapshot")
    parser.add_argument(
        "--links", action="store_true", help="make symbolic links that lead out of FILE, too"
    )
    add_kept(parser)
    add_json(parser)
    add_quiet(parser)


def _range(text: str) -> tuple[int, int | None]:
    start, colon, stop = text.partition(":")
    try:
        found = int(start or 0), int(stop) if stop else None
    except ValueError:
        found = -1, None
    if not colon or found[0] < 0 or (found[1] is not None and found[1] < found[0]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a range; write 1000:2000, 1000: or :2000"
        )
    return found


def _run(args: argparse.Namespace) -> int:
    if args.recursive and (args.file == "-" or args.range):
        raise errors.ConfigError(
            "--recursive takes a folder and no --range", remedy="ds-sdk store get --help"
        )
    if args.file == "-" and args.json:
        raise errors.ConfigError("the object itself goes to stdout", remedy="leave --json out")
    troubles = Troubles()
    with open_store(args) as store:
        view = KeyView(store, args.snapshot)
        chosen = choose(view, selection_of(args, several=len(args.names) > 1))
        objects, nbytes = _get(view, args, chosen, troubles)
    if args.file != "-":
        facts = {"objects": objects, "nbytes": nbytes, "file": args.file, **troubles.to_json()}
        text = f"{counted(objects, 'object')}, {console.format_bytes(nbytes)}, in {args.file}"
        text = ", ".join(filter(None, [text, troubles.sentence()]))
        tell(facts, text, as_json=args.json)
    return troubles.exit_code


def _get(
    view: KeyView, args: argparse.Namespace, chosen: Sequence[Chosen], troubles: Troubles
) -> tuple[int, int]:
    """How many objects, and how many bytes."""
    if len(chosen) == 1 and not chosen[0].path:
        return 1, _get_one(view, args, chosen[0].key, troubles)
    if args.file == "-" or args.range:
        raise errors.ConfigError(
            "several objects go into a folder, not to stdout",
            remedy="ds-sdk store cat HOME KEY ...",
        )
    _check_folder(args.file)
    named = [each if each.path else attrs.evolve(each, path=last_part(each.key)) for each in chosen]
    return _get_all(view, args, named, troubles)


def _check_folder(file: str) -> None:
    if os.path.lexists(file) and not os.path.isdir(file):  # noqa: PTH112 - a link to one will do
        raise errors.InputError(
            f"{file} is not a folder, and what was asked for is more than one file",
            remedy="name a folder; it is made if it is not there",
        )


def _get_one(view: KeyView, args: argparse.Namespace, key: str, troubles: Troubles) -> int:
    """One object, under the name that was given, or its own in a folder."""
    if args.file == "-":
        out = stdout_bytes()
        nbytes = sum(write_whole(out, each) for each in _pieces(view, args, key))
        out.flush()
        return nbytes
    with _written_to(args.file):
        straight = opened_to_write(args.file, lambda: _tell_of_waiting(args.file))
    if straight is not None:
        with straight:
            return sum(write_whole(straight, each) for each in _pieces(view, args, key))
    folder, file = _place_of(args.file, key)
    with (
        _downloading(view, args, folder, troubles, view.info(key).nbytes) as downloader,
        _written_to(args.file),
    ):
        return downloader.get(Download(key=key, path=file)) or 0


@contextmanager
def _written_to(file: str) -> Iterator[None]:
    """Tell what keeps a file from being written as an error of the one who named it."""
    try:
        yield
    except (OSError, Unwritable) as error:
        if isinstance(error, errors.DeepSeekError):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise errors.InputError(
            f"{shown(file)} can't be written: {why}", remedy="choose another place"
        ) from error


def _tell_of_waiting(file: str) -> None:
    console.print_note(f"note: nobody reads the FIFO {shown(file)} yet: waiting; Ctrl-C ends it")


def _pieces(view: KeyView, args: argparse.Namespace, key: str) -> Iterator[memoryview]:
    start, stop = args.range or (0, None)
    yield from pieces_of(view, view.info(key), start, stop)


def _place_of(file: str, key: str) -> tuple[str, str]:
    """Folder and name of the file that one object becomes."""
    if file.endswith("/") or os.path.isdir(file):  # noqa: PTH112 - a link to one will do
        _check_folder(file.rstrip("/") or "/")
        return file, key.rpartition("/")[2]
    console.check_writable(file)
    folder, slash, name = file.rpartition("/")
    return folder or slash or ".", name


def _get_all(
    view: KeyView, args: argparse.Namespace, chosen: Sequence[Chosen], troubles: Troubles
) -> tuple[int, int]:
    """All of them below the folder; how many objects, and how many bytes."""
    looked = (view.look(each.key) for each in chosen)
    total = sum(info.nbytes for info in looked if info is not None)
    objects = nbytes = 0
    with _downloading(view, args, args.file, troubles, total) as downloader:
        for download, got in downloader.get_all(downloads_of(chosen, troubles)):
            objects, nbytes = objects + (download.kind == "object"), nbytes + got
    return objects, nbytes


@contextmanager
def _downloading(
    view: KeyView, args: argparse.Namespace, folder: str, troubles: Troubles, nbytes: int
) -> Iterator[Downloader]:
    store = view.store
    check_outside(folder, own=own_folders(store), never=store_folders(store))
    with (
        open_target(folder, troubles) as target,
        ByteProgress("get", nbytes, quiet=args.quiet) as progress,
        Downloader(
            view,
            target,
            kept=kept_of(args),
            all_links=args.links,
            troubles=troubles,
            progress=progress,
            span=args.range,
        ) as downloader,
    ):
        yield downloader


COMMANDS: Final = {
    "get": Command(
        add_arguments=_add_arguments,
        run=_run,
        examples=_EXAMPLES,
        details="Wrong bytes are never returned.",
    )
}
