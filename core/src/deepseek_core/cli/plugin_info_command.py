"""`ds-sdk plugin-info`: everything about one plugin, which is loaded in another process."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from deepseek_core.cli.answer import print_json
from deepseek_core.cli.table import print_text
from deepseek_core.contracts.errors import ConfigError
from deepseek_core.contracts.secret import scrub
from deepseek_core.contracts.units import format_bytes, printable
from deepseek_core.discovery.distributions import Distribution
from deepseek_core.discovery.installed import installed
from deepseek_core.discovery.installing import disable_setting, remove_command
from deepseek_core.discovery.isolated import Children
from deepseek_core.discovery.modules import locate
from deepseek_core.discovery.scan import EntryPoint, identities, scan
from deepseek_core.discovery.status import PluginRow, Status
from deepseek_core.discovery.switches import Switches, matches, suggestion
from deepseek_core.discovery.triage import triage

SUMMARY = "everything about one plugin"
EXAMPLES = """examples:
  ds-sdk plugin-info cpu_onnx
  ds-sdk plugin-info deepseek-fpga --json      by its distribution

Values of settings that are secrets, or that the plugin does not declare, are not shown."""

_LIMIT_S: Final = 60.0
_MOST_FILES: Final = 12
Info = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("name", metavar="NAME", help="entry point, distribution, or DIST:NAME")
    parser.add_argument("--json", action="store_true", help="print JSON, schema 1")


def run(args: argparse.Namespace) -> int:
    """Print what is known; a plugin that is ill is no failure of this command."""
    infos = _infos(args.name)
    if args.json:
        print_json({"schema": 1, "plugins": infos}, indent=2)
    else:
        print_text("\n\n".join("\n".join(_lines(info)) for info in infos))
    return 0


def _infos(name: str) -> list[Info]:
    switches = Switches.resolve()
    judged = triage(scan(), switches)
    mine = [(point, row) for point, row in judged if matches(name, point)]
    if not mine:
        known = {word for point, _row in judged for word in (point.name, point.dist)}
        raise ConfigError(
            f"no plugin {name!r} is installed",
            remedy=suggestion(name, known) or "ds-sdk list-plugins",
        )
    resolved = [point for point, row in judged if row.status is None]
    children = Children(switches, timeout_s=_LIMIT_S, resolved=resolved)
    among = _among_all(children)
    return [_info(point, row, switches, children, among) for point, row in mine]


def _among_all(children: Children) -> Mapping[tuple[str, str], Info]:
    """The rows when all plugins are loaded: only then are contested records known.

    Empty if one of them ends the process; `doctor` finds out which.
    """
    answer = children.ask("load", only=None).answer or {}
    return {(row["name"], row["dist"]): row for row in answer.get("plugins", [])}


def _info(
    point: EntryPoint,
    row: PluginRow,
    switches: Switches,
    children: Children,
    among: Mapping[tuple[str, str], Info],
) -> Info:
    told: Info = {**row.to_json(), "records": [], "settings": None}
    if row.status is None:
        told |= _alone(point, row, children)
        contested = among.get((point.name, point.dist), {})
        if contested.get("status") == Status.CONFLICT:
            told |= {key: contested[key] for key in ("status", "reason", "remedy")}
    files = [{"path": path, "nbytes": nbytes} for path, nbytes in _files(point)]
    undeclared = switches.settings.get(point.name, {}) if told["settings"] is None else {}
    return {**told, "undeclared_settings": sorted(undeclared), "files": files}


def _alone(point: EntryPoint, row: PluginRow, children: Children) -> Info:
    """What the plugin tells when it is loaded by itself, so that its costs are its own."""
    outcome = children.ask("load", only=identities([point])[0])
    answer = outcome.answer or {}
    for told in answer.get("plugins", []):
        if (told["name"], told["dist"]) == (point.name, point.dist):
            return {**told, "records": answer["records"], "settings": answer["settings"]}
    reason = answer.get("error", {}).get("text") or outcome.ending("importing it", _LIMIT_S)
    remedy = f"{remove_command(point.dist)} (or {disable_setting(point.name)})"
    return row.ended(Status.BROKEN, reason, remedy).to_json()


def _files(point: EntryPoint) -> Iterator[tuple[str, int]]:
    """Files of its distribution, or of an editable install its package; sizes in bytes."""
    dist = installed(point.dist)
    recorded = list(_recorded(dist)) if dist is not None else []
    if not recorded:
        spec = locate(point.value.partition(":")[0].partition(".")[0])
        folders = spec.submodule_search_locations if spec is not None else None
        recorded = [file for folder in folders or () for file in Path(folder).rglob("*")]
    for path in sorted(recorded):
        with suppress(OSError):  # a name too long for a file, or one that is closed to us
            if path.is_file() and "__pycache__" not in path.parts:
                yield str(path), path.stat().st_size


def _recorded(dist: Distribution) -> Iterator[Path]:
    """What the installer noted (`RECORD`), without metadata and links to sources."""
    for line in (dist.read("RECORD") or "").splitlines():
        name = line.rpartition(",")[0].rpartition(",")[0].strip('"')
        if name and ".dist-info/" not in name and not name.endswith((".pth", ".pyc")):
            yield dist.location / name


def _lines(info: Info) -> Iterator[str]:
    yield f"{info['name']}: {info['status'] or 'not loaded'}"
    for key in ("reason", "remedy"):
        if info[key]:
            yield _line(key, info[key])
    yield _line("distribution", f"{info['dist']} {info['version']} in {info['location']}")
    yield _line("entry point", f"{info['entry_point']} of {info['group']}")
    if info["load_ms"] is not None:
        heavy = ", ".join(info["heavy_modules"]) or "no heavy module"
        yield _line("load", f"{info['load_ms']:.1f} ms; {heavy}")
    yield _line("hooks", ", ".join(info["hooks"]) or "-")
    for record in info["records"]:
        yield _line("record", _record(record))
    yield from _setting_lines(info)
    yield from _file_lines(info["files"])


def _line(key: str, text: str) -> str:
    return f"  {key:<14}{printable(scrub(text))}"


def _record(record: Info) -> str:
    told = {
        key: value
        for key, value in record.items()
        if key not in ("family", "name") and value not in (None, "", [])
    }
    fields = ", ".join(f"{key}={_value(value)}" for key, value in told.items())
    return f"{record['family']} {record['name']}: {fields}"


def _value(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _setting_lines(info: Info) -> Iterator[str]:
    for setting in info["settings"] or ():
        about = f"  # {setting['help']}" if setting["help"] else ""
        origin = f"{setting['origin']}; {setting['variable']}"
        yield _line("setting", f"{setting['name']} = {setting['value']} ({origin}){about}")
    for name in info["undeclared_settings"]:
        yield _line("setting", f"{name} is set; the plugin does not declare it, so it is not shown")


def _file_lines(files: Sequence[Info]) -> Iterator[str]:
    for file in files[:_MOST_FILES]:
        yield _line("file", f"{file['path']} ({format_bytes(file['nbytes'])})")
    if len(files) > _MOST_FILES:
        yield _line("file", f"and {len(files) - _MOST_FILES} more: --json lists them")
