"""`ds-sdk store put`: files, folders, or what comes from a pipe."""

from __future__ import annotations

import argparse
import os
import shlex
import stat
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

import attrs

from deepseek_core import console, errors
from deepseek_store.cli.byte_progress import ByteProgress
from deepseek_store.cli.common import (
    Command,
    add_home,
    add_json,
    add_quiet,
    open_store,
    stdin_bytes,
    tell,
)
from deepseek_store.cli.file_options import (
    add_kept,
    add_walk,
    check_outside,
    kept_of,
    walk_options_of,
)
from deepseek_store.cli.local.patterns import Filter
from deepseek_store.cli.local.walk import FolderWalk, WalkOptions, kind_of_other
from deepseek_store.cli.partial_failures import Troubles, shown
from deepseek_store.cli.selection import add_filter, folder_name
from deepseek_store.cli.upload_files import (
    Uploader,
    UploadItem,
    basename,
    own_folders,
    store_folders,
    upload_of,
)
from deepseek_store.planning.amounts import counted

if TYPE_CHECKING:
    from deepseek_store.store import Store
    from deepseek_store.write.receipt import Receipt

_CHUNK_NBYTES: Final = 512 << 10

_EXAMPLES: Final = """examples:
  ds-sdk store put data runs/7/model.onnx model.onnx           under that key
  ds-sdk store put data runs/7/ model.onnx log.txt             runs/7/model.onnx, runs/7/log.txt
  ds-sdk store put data train images -r                        images/a/b.png is train/a/b.png
  ds-sdk store put data sets images masks -r                   sets/images/..., sets/masks/...
  ds-sdk store put data train images -r --include '*.png' --exclude 'tmp/'
  tar c images | ds-sdk store put data backup/images.tar -     from a pipe
  ds-sdk store put data latest.json - --if-generation 0        only if there is none yet

One folder becomes the folder KEY, with a slash behind its name or without one, as `rclone copy`
has it. Of several, each keeps its name below KEY; `images/` with a slash stands for what is in it,
as rsync has it. Symbolic links are skipped unless an option says otherwise; FIFOs, sockets and
devices always are. What is skipped is named. So is what can't be read: the rest is stored, and the
exit code is 1."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "key",
        metavar="KEY",
        help="the object; or the folder, if it ends in / or several come; /: top",
    )
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="files, folders with -r, or - for stdin"
    )
    parser.add_argument(
        "--recursive", "-r", action="store_true", help="folders with everything in them"
    )
    parser.add_argument(
        "--tier", choices=["hot", "warm", "cold"], help="bring it there before it is acknowledged"
    )
    parser.add_argument(
        "--if-generation",
        type=int,
        metavar="N",
        help="only if its generation is N; 0: only if there is no such object",
    )
    parser.add_argument(
        "--meta", action="append", default=[], metavar="NAME=TEXT", help="keep this with the object"
    )
    add_filter(parser)
    add_walk(parser)
    add_kept(parser)
    add_json(parser)
    add_quiet(parser)


def _run(args: argparse.Namespace) -> int:
    meta = _meta_of(args.meta)
    troubles = Troubles()
    sources = _sources(args, troubles)
    with open_store(args) as store:
        if args.files == ["-"]:
            receipts, folders = [_put_stdin(store, args, meta)], 0
        else:
            receipts, folders = _put_all(store, args, sources, meta, troubles)
    facts = {
        "objects": [receipt.facts() for receipt in receipts],
        "nbytes": sum(receipt.nbytes for receipt in receipts),
        "folders": folders,
        **troubles.to_json(),
    }
    tell(facts, _sentence(args, receipts, folders, troubles), as_json=args.json)
    return troubles.exit_code


def _meta_of(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(equals and name for name, equals, _ in pairs):
        raise errors.ConfigError("--meta has no name or no text", remedy="--meta epoch=7")
    return {name: value for name, _, value in pairs}


@attrs.frozen(kw_only=True)
class _Source:
    """A file or folder of the command line; `prefix`, for a folder: what its keys begin with."""

    path: str
    key: str
    nbytes: int
    is_folder: bool = False


def _sources(args: argparse.Namespace, troubles: Troubles) -> list[_Source]:
    """What is to be stored, and where; all is looked at before anything is stored."""
    if "-" in args.files:
        if len(args.files) > 1 or args.recursive or args.key.endswith("/"):
            raise errors.ConfigError(
                "stdin is one object, and has no name of its own: its key does not end in /",
                remedy="ds-sdk store put HOME KEY -",
            )
        return []
    found = [source for path in args.files if (source := _source(args, path, troubles))]
    one_file = len(found) == 1 and not found[0].is_folder
    if args.if_generation is not None and not one_file:
        raise errors.ConfigError(
            "--if-generation is for one object", remedy="store one file, without -r"
        )
    return found


def _source(args: argparse.Namespace, path: str, troubles: Troubles) -> _Source | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - a link on the command line is followed
    except OSError as error:
        raise errors.InputError(
            f"{shown(path)}: there is no file to be read: {error.strerror}",
            remedy="check the path; nothing was stored",
        ) from error
    several = len(args.files) > 1
    into = several or args.key.endswith("/") or not folder_name(args.key)
    if stat.S_ISDIR(found.st_mode):
        return _folder(args, path, several, troubles)
    if not stat.S_ISREG(found.st_mode):
        kind = kind_of_other(found.st_mode)
        raise errors.InputError(
            f"{shown(path)} is not a file, but a {kind}",
            remedy=f"ds-sdk store put HOME {shlex.quote(args.key)} - < {shlex.quote(path)}",
        )
    key = folder_name(args.key) + basename(path) if into else args.key
    return _Source(path=path, key=key, nbytes=found.st_size)


def _folder(
    args: argparse.Namespace, path: str, several: bool, troubles: Troubles
) -> _Source | None:
    if args.recursive:
        name = basename(path) if several and not path.endswith("/") else ""
        key = folder_name(args.key) + (f"{name}/" if name else "")
        return _Source(path=path, key=key, nbytes=0, is_folder=True)
    if not several:
        raise errors.InputError(
            f"{shown(path)} is a folder; --recursive (-r) stores what is in it",
            remedy="add -r",
        )
    troubles.fail(path, "a folder; -r stores what is in it")
    return None


def _put_stdin(store: Store, args: argparse.Namespace, meta: dict[str, str]) -> Receipt:
    source = stdin_bytes()
    with ByteProgress("put", None, quiet=args.quiet) as progress:

        def chunks() -> Iterator[bytes]:
            while chunk := source.read(_CHUNK_NBYTES):
                yield chunk
                progress.add(len(chunk), args.key)

        return store.put_stream(
            args.key, chunks(), meta=meta, if_generation=args.if_generation, tier=args.tier
        )


def _put_all(
    store: Store,
    args: argparse.Namespace,
    sources: Sequence[_Source],
    meta: dict[str, str],
    troubles: Troubles,
) -> tuple[list[Receipt], int]:
    """Receipts of objects by key, and how many folders were kept."""
    walked = any(source.is_folder for source in sources)
    nbytes = None if walked else sum(source.nbytes for source in sources)
    options = walk_options_of(args, store_folders(store))
    for source in sources:
        if source.is_folder:
            check_outside(source.path, own=own_folders(store), never=options.never)
    receipts: list[Receipt] = []
    folders: list[str] = []
    with (
        ByteProgress("put", nbytes, quiet=args.quiet) as progress,
        Uploader(
            store, kept=kept_of(args), meta=meta, troubles=troubles, progress=progress
        ) as uploader,
    ):
        uploads = _uploads(args, sources, options, troubles)
        for upload, receipt in uploader.put_all(uploads):
            if upload.kind == "folder":
                folders.append(upload.key)
            else:
                receipts.append(receipt)
        uploader.finish((receipt.key for receipt in receipts if receipt.nbytes), args.tier)
    return sorted(receipts, key=lambda receipt: receipt.key), len(folders)


def _uploads(
    args: argparse.Namespace,
    sources: Sequence[_Source],
    options: WalkOptions,
    troubles: Troubles,
) -> Iterator[UploadItem]:
    """Each key once: of two files that would have the same one, the second is told."""
    taken: set[str] = set()
    for source in sources:
        for upload in _of_source(args, source, options, troubles):
            if upload.key in taken and upload.kind != "folder":
                troubles.fail(upload.name, f"another file is {upload.key} already")
                continue
            if len(sources) > 1 or upload.kind == "folder":
                taken.add(upload.key)
            yield upload


def _of_source(
    args: argparse.Namespace, source: _Source, options: WalkOptions, troubles: Troubles
) -> Iterator[UploadItem]:
    if source.is_folder:
        for entry in FolderWalk(source.path, options, troubles):
            yield upload_of(entry, source.key, top=source.path, follow=args.copy_links)
    elif Filter(args.rules).takes(basename(source.path)):
        yield UploadItem(
            key=source.key,
            file=source.path,
            name=source.path,
            nbytes=source.nbytes,
            follow=True,
            expect=args.if_generation,
        )


def _sentence(
    args: argparse.Namespace, receipts: Sequence[Receipt], folders: int, troubles: Troubles
) -> str:
    size = console.format_bytes(sum(receipt.nbytes for receipt in receipts))
    if len(receipts) == 1 and not args.recursive and not troubles.exit_code:
        one = receipts[0]
        key = shown(one.key)
        return f"{key}: {size}, {counted(one.shards, 'shard')}, generation {one.generation}"
    parts = [counted(len(receipts), "object"), size]
    parts += [counted(folders, "folder")] if folders else []
    return ", ".join([*parts, *filter(None, [troubles.sentence()])])


COMMANDS: Final = {
    "put": Command(
        add_arguments=_add_arguments,
        run=_run,
        examples=_EXAMPLES,
        details="When it returns, they survive a crash.",
    )
}
