"""Which objects the names on a command line mean: objects, folders, globs, or raw prefixes.

`runs/1` is the object of that key and, where a command takes folders, all that lies in the folder
`runs/1`; never `runs/10`. `runs/1/` is the folder alone. A name that is there is meant literally;
one that is not, and has a glob in it, stands for what matches. `--prefix` takes names as the
beginnings of keys.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import attrs

from deepseek_core import errors
from deepseek_store.cli.key_view import KeyView
from deepseek_store.cli.local.patterns import Filter, Rule, is_glob, literal_folder, matcher
from deepseek_store.cli.partial_failures import shown

_ROOT: Final = ("", "/", ".", "./")


@attrs.frozen(kw_only=True, slots=True)
class Chosen:
    """An object that is meant, and its path below the target; `""`: it is the target itself."""

    key: str
    path: str


@attrs.frozen(kw_only=True)
class NameSelection:
    """The names of a command line, and how they are to be understood."""

    names: tuple[str, ...]
    recursive: bool = True
    prefix: bool = False
    glob: bool = True
    filter: Filter = attrs.field(factory=Filter)
    several: bool = False
    """Whether each name keeps its last part below the target, as those of `cp a b target/` do."""


def add_names(parser: argparse.ArgumentParser, *, nargs: str = "+", noun: str = "KEY") -> None:
    """The names of objects and folders, and the options that change what they mean."""
    help_ = "an object, a folder, or a glob such as 'runs/*/model.pt'; / is everything"
    parser.add_argument("names", metavar=noun, nargs=nargs, help=help_)
    parser.add_argument(
        "--prefix", action="store_true", help="KEY is only the beginning of keys: runs/1 is runs/10"
    )
    parser.add_argument("--no-glob", action="store_true", help="take * ? [ { in KEY literally")
    add_filter(parser)


class _AddRule(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        rule = Rule(option_string == "--include", values)
        namespace.rules = (*namespace.rules, rule)


def add_filter(parser: argparse.ArgumentParser) -> None:
    """`--include` and `--exclude`, in the order in which they are given."""
    parser.set_defaults(rules=())
    for option, what in (
        ("--include", "take only what matches, such as '*.png'; may be repeated"),
        (
            "--exclude",
            "leave out what matches, such as 'tmp/'; of all rules the first that matches decides",
        ),
    ):
        parser.add_argument(option, action=_AddRule, dest="_rule", metavar="GLOB", help=what)


def selection_of(
    args: argparse.Namespace, names: Sequence[str] | None = None, **more: Any
) -> NameSelection:
    """What the options say."""
    return NameSelection(
        names=tuple(args.names if names is None else names),
        prefix=args.prefix,
        glob=not args.no_glob,
        filter=Filter(args.rules),
        **{"recursive": getattr(args, "recursive", True), **more},
    )


def folder_name(name: str) -> str:
    """A folder of a store as the beginning of its keys: `""` for all of it, else with a slash."""
    bare = "" if name in _ROOT else name.removeprefix("./").rstrip("/")
    return f"{bare}/" if bare else ""


def choose(view: KeyView, selection: NameSelection) -> list[Chosen]:
    """All objects that are meant, each once.

    Raises:
        ObjectMissing: a name means nothing that is there; says what it may have meant.
    """
    found: dict[str, Chosen] = {}
    for name in selection.names:
        some = False
        for each in _of_name(view, selection, name):
            some = True
            if selection.filter.takes(each.path or last_part(each.key)):
                found.setdefault(each.key, each)
        if not some:
            raise nothing_there(view, selection, name)
    return list(found.values())


def keys_of(view: KeyView, selection: NameSelection) -> list[str]:
    """The keys of what is meant, in order; raises as `choose`."""
    return sorted(each.key for each in choose(view, selection))


def _of_name(view: KeyView, selection: NameSelection, name: str) -> Iterator[Chosen]:
    if selection.prefix:
        cut = name.rfind("/") + 1
        yield from (Chosen(key=key, path=key[cut:]) for key in view.below(name))
        return
    some = False
    for each in _literally(view, selection, name):
        some = True
        yield each
    if not some and selection.glob and is_glob(name):
        yield from _matching(view, selection, name)


def _literally(view: KeyView, selection: NameSelection, name: str) -> Iterator[Chosen]:
    folder = folder_name(name)
    key = folder.rstrip("/")
    is_object = bool(key) and not name.endswith("/") and view.has(key)
    is_folder = selection.recursive and view.is_folder(key)
    if is_object:
        yield Chosen(key=key, path=last_part(key) if selection.several else "")
    if is_folder:
        start = f"{last_part(key)}/" if selection.several and key and not name.endswith("/") else ""
        for below in view.below(folder):
            yield Chosen(key=below, path=start + below[len(folder) :])


def _matching(view: KeyView, selection: NameSelection, pattern: str) -> Iterator[Chosen]:
    """What lies below the folder of the pattern keeps its place there."""
    pattern = pattern.removeprefix("./")
    base = literal_folder(pattern)
    only_folders, depth = pattern.endswith("/"), pattern.rstrip("/").count("/") + 1
    regex = matcher(pattern.rstrip("/"))
    deep = "**" in pattern or "{" in pattern
    for key in view.below(base):
        itself = not only_folders and regex.fullmatch(key) is not None
        if itself or (selection.recursive and _lies_in_match(regex, key, None if deep else depth)):
            yield Chosen(key=key, path=key[len(base) :])


def _lies_in_match(regex: Any, key: str, depth: int | None) -> bool:
    """Whether a folder that the key lies in matches; `depth`: of how many parts that would be."""
    parts = key.split("/")
    depths: Iterable[int] = range(1, len(parts)) if depth is None else (depth,)
    return any(n < len(parts) and regex.fullmatch("/".join(parts[:n])) for n in depths)


def matches(view: KeyView, pattern: str) -> Iterator[str]:
    """Objects, and folders with a slash behind them, that a glob stands for, each once.

    Of one with `**` the objects alone: every folder would match.
    """
    base, regex = literal_folder(pattern), matcher(pattern.rstrip("/"))
    seen: set[str] = set()
    for key in view.below(base):
        parts = key.split("/")
        whole = len(parts)
        for n in (whole,) if "**" in pattern else range(1, whole + 1):
            name = "/".join(parts[:n]) + "/" * (n < whole)
            if name not in seen and regex.fullmatch(name.rstrip("/")):
                seen.add(name)
                if n < whole or not pattern.endswith("/"):
                    yield name


def last_part(key: str) -> str:
    """The name of an object or folder, without the folders that it lies in."""
    return key.rstrip("/").rpartition("/")[2]


def nothing_there(view: KeyView, selection: NameSelection, name: str) -> errors.ObjectMissing:
    """Error for a name that matches nothing, with what it may have meant."""
    home = shlex.quote(str(view.store.home))
    what = "object or folder" if selection.recursive else "object"
    what = "object's key begins with" if selection.prefix else what
    remedy = f"ds-sdk store ls {home}"
    if not selection.recursive and view.is_folder(name):
        return errors.ObjectMissing(
            f"{shown(name)!r} is a folder", url=view.store.url, remedy="add -r"
        )
    if not selection.prefix and next(view.below(name), None) is not None:
        remedy = "add --prefix, if all keys that begin so are meant"
    return errors.ObjectMissing(
        f"there is no {what} {shown(name)!r}", url=view.store.url, remedy=remedy
    )
