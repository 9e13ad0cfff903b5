"""`ds-sdk store get`: an object, a part of one, or all below a prefix; verified."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_home,
    add_json,
    add_quiet,
    count,
    keys_below,
    open_store,
    tell,
)

if TYPE_CHECKING:
    from deepseek_store.store import Store

_CHUNK_NBYTES: Final = 16 << 20

_EXAMPLES: Final = """examples:
  ds-sdk store get data runs/7/model.onnx model.onnx
  ds-sdk store get data backup/images.tar - | tar x
  ds-sdk store get data log.txt - --range=1000:2000           bytes 1000 to 1999
  ds-sdk store get data train/ images --recursive             train/a/b.png is images/a/b.png
  ds-sdk store get data config.json - --snapshot monday       as it was"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser, reads=True)
    parser.add_argument(
        "key", metavar="KEY", help="its name; with --recursive, what they begin with"
    )
    parser.add_argument(
        "file", metavar="FILE", help="where to write it: a file, - for stdout, a folder"
    )
    parser.add_argument("--recursive", "-r", action="store_true", help="fetch all below KEY")
    parser.add_argument("--range", type=_range, metavar="START:STOP", help="only these bytes of it")
    parser.add_argument("--snapshot", metavar="NAME", help="as it was then")
    add_json(parser)
    add_quiet(parser)


def _range(text: str) -> tuple[int, int | None]:
    start, colon, stop = text.partition(":")
    try:
        found = int(start or 0), int(stop) if stop else None
    except ValueError:
        found = -1, None
    if not colon or found[0] < 0 or (found[1] is not None and found[1] < found[0]):
        raise argparse.ArgumentTypeError(f"{text!r} is no range; write 1000:2000, 1000: or :2000")
    return found


def _run(args: argparse.Namespace) -> int:
    if args.recursive and (args.file == "-" or args.range):
        raise errors.ConfigError(
            "--recursive takes a folder and no --range", remedy="ds-sdk store get --help"
        )
    if args.file == "-" and args.json:
        raise errors.ConfigError("the object itself goes to stdout", remedy="leave --json out")
    with open_store(args) as store:
        if args.recursive:
            objects, nbytes = _get_all(store, args)
        else:
            if args.file != "-":
                console.check_writable(args.file)
            objects, nbytes = 1, _get_one(store, args, args.key, args.file)
    if args.file != "-":
        text = f"{count(objects, 'object')}, {console.format_bytes(nbytes)}, in {args.file}"
        tell({"objects": objects, "nbytes": nbytes, "file": args.file}, text, as_json=args.json)
    return 0


def _get_all(store: Store, args: argparse.Namespace) -> tuple[int, int]:
    keys = keys_below(store, args.key)
    # `train/` is a folder: what it holds goes right into ours; `train/im` is half a name.
    cut = args.key.rfind("/") + 1
    nbytes = 0
    with console.ProgressReporter("get", quiet=args.quiet) as progress:
        for done, key in enumerate(keys):
            progress(done, len(keys), key)
            path = Path(args.file, key[cut:])
            nbytes += _get_one(store, args, key, str(path))
        progress(len(keys), len(keys), "done")
    return len(keys), nbytes


def _get_one(store: Store, args: argparse.Namespace, key: str, file: str) -> int:
    pieces = _pieces(store, key, args.range or (0, None), args.snapshot)
    if file == "-":
        nbytes = sum(_write_all(sys.stdout.buffer, piece) for piece in pieces)
        sys.stdout.flush()
        return nbytes
    path = Path(file)
    partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # nobody sees half an object
    try:
        if args.recursive:
            path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as target:
            nbytes = sum(target.write(piece) for piece in pieces)
        partial.replace(path)
    except OSError as error:
        raise errors.InputError(
            f"{path} can't be written: {error.strerror or error}", remedy="choose another place"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return nbytes


def _write_all(out: BinaryIO, piece: memoryview) -> int:
    """With PYTHONUNBUFFERED, stdout is a bare file, whose `write` may take a part only."""
    rest = piece
    while rest:
        rest = rest[out.write(rest) :]
    return len(piece)


def _pieces(
    store: Store, key: str, wanted: tuple[int, int | None], snapshot: str | None
) -> Iterator[memoryview]:
    """A range in pieces, all of one version.

    Raises:
        TierUnavailable: the object was replaced meanwhile.
    """
    before = store.stat(key, snapshot=snapshot)
    at, stop = wanted[0], before.nbytes if wanted[1] is None else min(wanted[1], before.nbytes)
    while at < stop:
        piece = store.get(key, at, min(at + _CHUNK_NBYTES, stop), snapshot=snapshot)
        if store.stat(key, snapshot=snapshot).generation != before.generation:
            raise errors.TierUnavailable(
                f"{key!r} was replaced while it was read", url=store.url, remedy="get it again"
            )
        yield piece
        at += _CHUNK_NBYTES


COMMANDS: Final = {
    "get": Command(
        add_arguments=_add_arguments,
        run=_run,
        examples=_EXAMPLES,
        details="Wrong bytes are never returned.",
    )
}
