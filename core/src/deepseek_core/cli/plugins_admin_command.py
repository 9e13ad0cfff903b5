"""`ds-sdk plugins`: switch plugins on and off, take a set of them elsewhere."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import attrs

from deepseek_core.cli.answer import flush, print_json, print_lines
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.discovery.config_edit import change_list
from deepseek_core.discovery.fingerprint import fingerprint, worker_environment
from deepseek_core.discovery.folders import config_file
from deepseek_core.discovery.installed import core_version
from deepseek_core.discovery.scan import EntryPoint, scan
from deepseek_core.discovery.switches import Switches, matches, suggestion

SUMMARY = "switch plugins on and off; bring a set of them to another environment"
EXAMPLES = """examples:
  ds-sdk plugins disable acme_npu              writes the configuration file
  ds-sdk plugins enable acme_npu
  ds-sdk plugins export > plugins.txt          lines for pip
  ds-sdk plugins restore plugins.txt --dry-run
  env $(ds-sdk plugins export --env) python worker.py     a worker with these, or none
No plugin is imported."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    deeds = parser.add_subparsers(
        dest="deed", required=True, metavar="enable|disable|export|restore"
    )
    for deed, line in (("enable", "load plugins again"), ("disable", "load plugins no longer")):
        switch = deeds.add_parser(deed, help=f"{line}: an entry in the configuration file")
        switch.add_argument(
            "names", nargs="+", metavar="NAME", help="entry point, distribution, or DIST:NAME"
        )
    export = deeds.add_parser("export", help="print the plugins as lines for pip")
    form = export.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON, schema 1")
    form.add_argument(
        "--env",
        action="store_true",
        help="print variables with which a worker loads the plugins that load here, in the same "
        "versions, or refuses",
    )
    restore = deeds.add_parser("restore", help="install what an export lists, with pip")
    restore.add_argument("file", type=Path, metavar="FILE", help="what export has printed")
    restore.add_argument("--dry-run", action="store_true", help="print the command only")


def run(args: argparse.Namespace) -> int:
    """Do it and say what was done."""
    deeds = {"enable": _enable, "disable": _disable, "export": _export, "restore": _restore}
    deeds[args.deed](args)
    return 0


def _disable(args: argparse.Namespace) -> None:
    points, path = scan(), config_file()
    for name in args.names:
        _check(name, points)
    changed = change_list(path, "disable", add=args.names)
    for name in args.names:
        print_lines(f"{name} is {'now ' if changed else ''}off in {path}")
    _tell_of_others(path, args.names, points, wanted=False)


def _enable(args: argparse.Namespace) -> None:
    points, path = scan(), config_file()
    switches = _of_file(path)
    words: set[str] = set()
    for name in args.names:
        mine = [point for point in points if matches(name, point)]
        off = {w for w in switches.disable if w == name or any(matches(w, p) for p in mine)}
        if not off:
            _check(name, points)
        words |= off
    change_list(path, "disable", remove=sorted(words))
    if switches.allow is not None:
        allowed = [n for n in args.names if not _is_allowed(n, switches.allow, points)]
        change_list(path, "allow", add=allowed)
    for name in args.names:
        print_lines(f"{name} is on as far as {path} goes")
    also = {p.name for p in points for w in words if matches(w, p)}
    also -= {p.name for p in points for n in args.names if matches(n, p)}
    if also:
        print_lines(f"with it, by the name of its distribution: {', '.join(sorted(also))}")
    _tell_of_others(path, args.names, points, wanted=True)


def _of_file(path: Path) -> Switches:
    return Switches.resolve(environ={}, config=path)


def _is_allowed(name: str, allow: Sequence[str], points: Sequence[EntryPoint]) -> bool:
    mine = [point for point in points if matches(name, point)]
    return all(any(matches(word, point) for word in allow) for point in mine)


def _check(name: str, points: Sequence[EntryPoint]) -> None:
    if not any(matches(name, point) for point in points):
        known = {word for point in points for word in (point.name, point.dist)}
        raise ConfigError(
            f"no plugin {name!r} is installed",
            remedy=suggestion(name, known) or "ds-sdk list-plugins --no-load",
        )


def _tell_of_others(
    path: Path, names: Sequence[str], points: Sequence[EntryPoint], *, wanted: bool
) -> None:
    """The environment beats the file: say so where it undoes what was just written."""
    from deepseek_core.discovery.status import Status
    from deepseek_core.discovery.triage import triage

    switches = Switches.resolve(config=path)
    for point, row in triage(points, switches):
        if not any(matches(name, point) for name in names):
            continue
        off = row.status in (Status.DISABLED, Status.BLOCKED)
        if wanted and off:
            print_lines(f"note: {point.name} stays {row.status}: {row.why}")
        elif not wanted and not off:
            print_lines(f"note: {switches.origin('disable')} beats the file; {point.name} loads")


def _export(args: argparse.Namespace) -> None:
    if args.env:
        _print_environment()
        return
    from deepseek_core.cli.environment import installed_plugins

    found = installed_plugins()
    python = ".".join(map(str, sys.version_info[:3]))
    if not args.json:
        print_lines(f"# plugins of Python {python}; ds-sdk plugins restore FILE brings them back")
        for wanted in found:
            origin = f"  # {wanted.name} {wanted.version}" if wanted.editable else ""
            print_lines(f"{wanted.line}{origin}")
        return

    answer = {
        "schema": 1,
        "python": python,
        "core": core_version(),
        "fingerprint": fingerprint(scan()),
        "distributions": [attrs.asdict(wanted) for wanted in found],
    }
    print_json(answer, indent=2)


def _print_environment() -> None:
    from deepseek_core.discovery.triage import triage

    judged = triage(scan(), Switches.resolve())
    resolved = [point for point, row in judged if row.status is None]
    for name, value in worker_environment(resolved).items():
        print_lines(f"{name}={value}")


def _restore(args: argparse.Namespace) -> None:
    from deepseek_core.cli.environment import install, missing_lines, pip_command, read_lines

    lines = read_lines(args.file)
    todo = missing_lines(lines)
    for line in lines:
        print_lines(f"{'install' if line in todo else 'have   '} {line}")
    if not todo:
        print_lines("nothing to do")
        return
    print_lines(f"{'would run' if args.dry_run else 'running'}: {shlex.join(pip_command(todo))}")
    if not args.dry_run:
        flush()
        install(todo)
        print_lines(f"installed {len(todo)} of {len(lines)}; ds-sdk list-plugins shows them")
