"""`ds-sdk store put`: a file, a folder, or what comes from a pipe."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

import attrs

from deepseek_core import console, errors
from deepseek_store.cli.common import (
    Command,
    add_home,
    add_json,
    add_quiet,
    count,
    open_store,
    tell,
)

if TYPE_CHECKING:
    from deepseek_store.store import Store
    from deepseek_store.write.receipt import Receipt

_CHUNK_NBYTES: Final = 4 << 20
_THREADS: Final = 8  # share the flushes of the log

_EXAMPLES: Final = """examples:
  ds-sdk store put data runs/7/model.onnx model.onnx
  ds-sdk store put data train/ images --recursive              images/a/b.png is train/a/b.png
  tar c images | ds-sdk store put data backup/images.tar -     from a pipe
  ds-sdk store put data latest.json - --if-generation 0        only if there is none yet"""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    parser.add_argument(
        "key", metavar="KEY", help="its name; with --recursive, what they begin with"
    )
    parser.add_argument("file", metavar="FILE", help="a file, - for stdin, or a folder")
    parser.add_argument("--recursive", "-r", action="store_true", help="store a folder's files")
    parser.add_argument(
        "--tier", choices=["hot", "warm", "cold"], help="bring it there before it is acknowledged"
    )
    parser.add_argument(
        "--if-generation", type=int, metavar="N", help="only if that is its generation now; 0: none"
    )
    parser.add_argument(
        "--meta", action="append", default=[], metavar="NAME=TEXT", help="keep this with the object"
    )
    add_json(parser)
    add_quiet(parser)


def _run(args: argparse.Namespace) -> int:
    meta = _meta_of(args.meta)
    files = _files(args)
    with open_store(args) as store:
        if files is None:
            receipts = [_put_one(store, args, meta)]
        else:
            with console.ProgressReporter("put", quiet=args.quiet) as progress:
                receipts = _put_all(store, files, args, meta, progress)
    tell(_facts(receipts), _sentence(receipts), as_json=args.json)
    return 0


def _meta_of(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(equals and name for name, equals, _ in pairs):
        raise errors.ConfigError("--meta has no name or no text", remedy="--meta epoch=7")
    return {name: value for name, _, value in pairs}


def _files(args: argparse.Namespace) -> list[tuple[str, Path]] | None:
    """Keys and files of a folder; None for a single object."""
    path = Path(args.file)
    if not args.recursive:
        if args.file != "-" and not path.is_file():
            what = "a folder; --recursive stores its files" if path.is_dir() else "no file"
            raise errors.InputError(f"{path} is {what}", remedy="ds-sdk store put --help")
        return None
    if not path.is_dir() or args.if_generation is not None:
        raise errors.ConfigError(
            f"--recursive takes a folder and no --if-generation, not {path}",
            remedy="ds-sdk store put --help",
        )
    prefix = args.key if not args.key or args.key.endswith("/") else f"{args.key}/"
    found = (Path(top, name) for top, _, names in os.walk(path) for name in names)
    return [(prefix + file.relative_to(path).as_posix(), file) for file in sorted(found)]


def _put_one(store: Store, args: argparse.Namespace, meta: dict[str, str]) -> Receipt:
    if args.file == "-":
        return _put_stream(store, args, meta, sys.stdin.buffer)
    try:
        with Path(args.file).open("rb") as file:
            return _put_stream(store, args, meta, file)
    except OSError as error:
        raise _unreadable(Path(args.file), error) from error


def _put_stream(
    store: Store, args: argparse.Namespace, meta: dict[str, str], source: BinaryIO
) -> Receipt:
    return store.put_stream(
        args.key,
        _chunks(source),
        meta=meta,
        if_generation=args.if_generation,
        tier=args.tier,
    )


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(_CHUNK_NBYTES):
        yield chunk


def _put_all(
    store: Store,
    files: Sequence[tuple[str, Path]],
    args: argparse.Namespace,
    meta: dict[str, str],
    progress: console.ProgressReporter,
) -> list[Receipt]:
    """Several at a time; they are brought to their tier together, so that they share stripes."""
    from concurrent.futures import ThreadPoolExecutor, as_completed

    def put(pair: tuple[str, Path]) -> Receipt:
        key, path = pair
        with path.open("rb") as file:
            return store.put_stream(key, _chunks(file), meta=meta, tier="hot")

    receipts: list[Receipt] = []
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="put")
    try:
        under_way = {pool.submit(put, pair): pair[1] for pair in files}
        for done in as_completed(under_way):
            receipts.append(done.result())
            progress(len(receipts), len(files), receipts[-1].key)
    except OSError as error:
        raise _unreadable(under_way[done], error) from error
    finally:
        pool.shutdown(cancel_futures=True)
    tier = args.tier or store.policy.landing
    if tier != "hot":
        store.send([receipt.key for receipt in receipts], tier)
    return sorted(receipts, key=lambda receipt: receipt.key)


def _unreadable(path: Path, error: OSError) -> errors.InputError:
    return errors.InputError(
        f"{path} can't be read: {error.strerror or error}", remedy="check the file"
    )


def _facts(receipts: Sequence[Receipt]) -> dict[str, object]:
    return {
        "objects": [attrs.asdict(receipt) for receipt in receipts],
        "nbytes": sum(receipt.nbytes for receipt in receipts),
    }


def _sentence(receipts: Sequence[Receipt]) -> str:
    size = console.format_bytes(sum(receipt.nbytes for receipt in receipts))
    if len(receipts) != 1:
        return f"{count(len(receipts), 'object')}, {size}"
    one = receipts[0]
    return f"{one.key}: {size}, {count(one.shards, 'shard')}, generation {one.generation}"


COMMANDS: Final = {
    "put": Command(
        add_arguments=_add_arguments,
        run=_run,
        examples=_EXAMPLES,
        details="When it returns, they survive a crash.",
    )
}
