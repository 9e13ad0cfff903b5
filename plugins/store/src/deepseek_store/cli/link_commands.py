"""`ds-sdk store cp` and `mv`: other keys for objects and folders; no byte is copied."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from deepseek_core import console, errors
from deepseek_store.at_once import CHANGES, AtOnce
from deepseek_store.cli.common import (
    Command,
    add_dry_run,
    add_home,
    add_json,
    add_quiet,
    open_store,
    tell,
)
from deepseek_store.cli.key_view import KeyView, is_folder_mark
from deepseek_store.cli.local.patterns import is_glob
from deepseek_store.cli.partial_failures import Troubles, shown
from deepseek_store.cli.selection import add_names, choose, folder_name, selection_of
from deepseek_store.errors import KeyRefused
from deepseek_store.planning.amounts import counted
from deepseek_store.write.keys import check_key

if TYPE_CHECKING:
    from deepseek_store.store import Store
    from deepseek_store.write.receipt import Receipt

_RULES: Final = """
TARGET that ends in / or is a folder already, and that of several KEYs, is the folder to go into;
else KEY becomes TARGET (-T: in any case), as with cp and mv. `runs/7/` with a slash stands for
what is in it, as with rsync. What is there is replaced, unless -n."""

_CP_EXAMPLES: Final = f"""examples:
  ds-sdk store cp data runs/7/model.onnx best.onnx
  ds-sdk store cp data runs/7 runs/8 archive/ -r       archive/7/..., archive/8/...
  ds-sdk store cp data runs/7 seed -r                  seed/..., if there is no folder seed yet
  ds-sdk store cp data runs/7/ seed -r                 the same, into a folder that is there too
{_RULES}"""

_MV_EXAMPLES: Final = f"""examples:
  ds-sdk store mv data incoming/7 runs/7/model.onnx    in one step: never both, never none
  ds-sdk store mv data runs/7 archive/ -r              archive/7/...
  ds-sdk store mv data 'incoming/*' done/ -r
{_RULES}
Each object moves in one step; a folder of them does not: Ctrl-C leaves the rest where it is."""


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_home(parser)
    add_names(parser)
    parser.add_argument("target", metavar="TARGET", help="a key, or a folder to go into")
    parser.add_argument(
        "--recursive", "-r", action="store_true", help="folders with everything in them"
    )
    parser.add_argument(
        "-T", "--no-target-directory", action="store_true", help="TARGET is not a folder to go into"
    )
    parser.add_argument(
        "-n", "--no-clobber", action="store_true", help="leave what is there as it is"
    )
    parser.add_argument(
        "--if-generation",
        type=int,
        metavar="N",
        help="only if the target's generation is N; 0: only if there is no target yet",
    )
    add_dry_run(parser)
    add_json(parser)
    add_quiet(parser)


@attrs.frozen
class _Link:
    """An object, and the key that it gets."""

    source: str
    target: str


def _run(args: argparse.Namespace, *, rename: bool) -> int:
    troubles = Troubles()
    with open_store(args) as store:
        links = list(_links(KeyView(store), args, troubles))
        if args.if_generation is not None and len(links) != 1:
            raise errors.ConfigError("--if-generation is for one object", remedy="leave it out")
        receipts = [] if args.dry_run else list(_done(store, links, args, rename, troubles))
    if args.dry_run:
        receipts = [(link, None) for link in links]
    tell(
        _facts(args, receipts, troubles),
        _text(args, receipts, rename, troubles),
        as_json=args.json,
    )
    return troubles.exit_code


def _links(view: KeyView, args: argparse.Namespace, troubles: Troubles) -> Iterator[_Link]:
    """What gets which key; all is looked at before anything is changed."""
    into = _is_into(view, args)
    base = folder_name(args.target)
    chosen = choose(view, selection_of(args, several=into))
    sources = {each.key for each in chosen}
    taken: dict[str, str] = {}
    for each in chosen:
        target = base + each.path if into else "/".join(filter(None, (base[:-1], each.path)))
        if target == each.key:
            troubles.fail(each.key, "is there already: source and target are the same")
        elif taken.setdefault(target, each.key) != each.key:
            troubles.fail(each.key, f"{taken[target]} becomes {target}, too")
        elif target in sources or _lies_in_source(args, target):
            raise errors.ConfigError(
                f"{shown(target)!r} lies in what is to be copied or moved",
                remedy="choose a target outside of it",
            )
        elif args.no_clobber and view.has(target):
            troubles.skip(target, "there already")
        elif not args.dry_run or _is_key(target, troubles, each.key):
            yield _Link(each.key, target)


def _is_key(target: str, troubles: Troubles, source: str) -> bool:
    try:
        check_key(target)
    except KeyRefused as error:
        troubles.fail(source, error.message)
        return False
    return True


def _is_into(view: KeyView, args: argparse.Namespace) -> bool:
    several = len(args.names) > 1
    if args.no_target_directory:
        if several:
            raise errors.ConfigError("several KEYs need a folder to go into", remedy="leave -T out")
        return False
    globbed = not args.no_glob and is_glob(args.names[0]) and not view.has(args.names[0])
    ends = args.target.endswith("/") or not folder_name(args.target)
    return several or args.prefix or globbed or ends or view.is_folder(args.target)


def _lies_in_source(args: argparse.Namespace, target: str) -> bool:
    if not args.recursive or args.prefix:
        return False
    folders = map(folder_name, args.names)
    return any(folder and target.startswith(folder) for folder in folders)


def _done(
    store: Store, links: Sequence[_Link], args: argparse.Namespace, rename: bool, troubles: Troubles
) -> Iterator[tuple[_Link, Receipt | None]]:
    change = store.rename if rename else store.copy

    def work(link: _Link) -> tuple[_Link, Receipt | None]:
        try:
            return link, change(link.source, link.target, if_generation=args.if_generation)
        except (KeyRefused, errors.ObjectMissing) as error:
            if len(links) == 1:
                raise
            troubles.fail(link.source, error.message)
            return link, None

    name = "mv" if rename else "cp"
    with (
        console.ProgressReporter(name, quiet=args.quiet or len(links) < 2) as progress,
        AtOnce(CHANGES) as at_once,
    ):
        for number, (link, receipt) in enumerate(at_once.results(work, links), 1):
            progress(number, len(links), shown(link.target))
            if receipt is not None:
                yield link, receipt


def _facts(
    args: argparse.Namespace,
    done: Sequence[tuple[_Link, Receipt | None]],
    troubles: Troubles,
) -> dict[str, Any]:
    alone = {} if len(done) != 1 or done[0][1] is None else done[0][1].facts()
    listed = [
        {
            "source": link.source,
            "target": link.target,
            **({"generation": receipt.generation} if receipt else {}),
        }
        for link, receipt in sorted(done, key=lambda pair: pair[0].target)
    ]
    return {**alone, "dry_run": args.dry_run, "objects": listed, **troubles.to_json()}


def _text(
    args: argparse.Namespace,
    done: Sequence[tuple[_Link, Receipt | None]],
    rename: bool,
    troubles: Troubles,
) -> str:
    would = "would be " if args.dry_run else "is "
    is_ = f"{would}now" if rename else f"{would}also"
    lines = [
        f"{shown(link.source)} {is_} {shown(link.target)}"
        + (f", generation {receipt.generation}" if receipt else "")
        for link, receipt in (sorted(done, key=str) if args.dry_run or len(done) == 1 else ())
    ]
    if len(done) != 1 or troubles.exit_code:
        objects = sum(not is_folder_mark(link.source) for link, _ in done)
        verb = f"{'would be ' if args.dry_run else ''}{'moved' if rename else 'copied'}"
        lines.append(
            ", ".join(filter(None, [f"{counted(objects, 'object')} {verb}", troubles.sentence()]))
        )
    return "\n".join(lines)


def _runner(rename: bool) -> Callable[[argparse.Namespace], int]:
    return lambda args: _run(args, rename=rename)


COMMANDS: Final = {
    "cp": Command(add_arguments=_add_arguments, run=_runner(rename=False), examples=_CP_EXAMPLES),
    "mv": Command(add_arguments=_add_arguments, run=_runner(rename=True), examples=_MV_EXAMPLES),
}
