"""Does the conformance kit find what is wrong with a plugin? Mistakes are planted and counted.

Three sound plugins (a device, hooks that are only listed, a tier) get one mistake each time: 14, 25
and 10 of them, as an author could make them. A mistake is found if `ds-sdk check-plugin` fails, or
if `ds-sdk list-plugins` shows the plugin as broken; the table says which rules named it. The sound
plugins, and all of ours that are installed here, must pass: they have no false alarm.

    python benchmarks/planted_faults.py [--json FILE] [--only WORD] [--quick]

`--quick` leaves our own plugins out; `--only` takes the faults of a kind (device, listing, tier) or
those whose name has the word. About 25 minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

import _planted_devices as devices
import _planted_listings as listings
import _planted_tiers as tiers
from _report import Report, print_head, versions

SOUND: Final = "(sound)"
BARS: Final = {"device": 13, "listing": 23, "tier": 9}
RULE_S: Final = 30  # of one rule
LIMIT_S: Final = 900
REQUIRES: Final = listings.REQUIRES
SOURCES: Final[dict[str, dict[str, str]]] = {
    "device": {"": devices.HOOKS, "_device": devices.DEVICE, "_kit": devices.KIT},
    "listing": {"": listings.HOOKS, "_device": listings.DEVICE},
    "tier": {"": tiers.HOOKS, "_tier": tiers.TIER, "_kit": tiers.KIT},
}
FAULTS: Final = {"device": devices.FAULTS, "listing": listings.FAULTS, "tier": tiers.FAULTS}
OURS: Final = "deepseek-"


class Found(NamedTuple):
    """What the tools say of one plugin: failed rules, and its status if it is listed as ill."""

    kind: str
    fault: str
    rules: list[str]
    status: str
    seconds: float

    @property
    def by(self) -> str:
        """What found it, in a few words."""
        names = [name.removeprefix("test_") for name in self.rules]
        shown = ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")
        return "; ".join(filter(None, (shown, self.status and f"list-plugins: {self.status}")))


def install(folder: Path, kind: str, name: str, changes: Mapping[str, str]) -> None:
    """Put the plugin with these changes on a path, as an installer would."""
    left = dict(changes)
    for suffix, source in SOURCES[kind].items():
        text = source
        for old, new in changes.items():
            if old in text:
                text, _ = text.replace(old, new), left.pop(old, None)
        (folder / f"{name}{suffix}.py").write_text(text.replace("PLUGIN", name))
    requires = left.pop(REQUIRES, REQUIRES)
    assert not left, f"nothing to replace: {left}"
    about = folder / f"{name}-1.0.dist-info"
    about.mkdir()
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {requires}\n"
    (about / "METADATA").write_text(head)
    (about / "entry_points.txt").write_text(f"[deepseek_sdk.plugins.v1]\n{name} = {name}\n")


def sdk(folder: Path, *words: str) -> str:
    """What `ds-sdk` prints, run in that folder with what is installed there."""
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    home = {name: str(folder) for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")}
    return subprocess.run(
        [sys.executable, "-m", "deepseek_core", *words],
        cwd=folder,
        env={**os.environ, **home, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    ).stdout


def check(folder: Path, name: str, kind: str, fault: str) -> Found:
    """Ask the kit, and the list of plugins."""
    start_s = time.monotonic()
    words = ("--group", "plugin") if kind == "listing" else ()  # its device does nothing
    told = sdk(folder, "check-plugin", name, "--json", "--timeout", str(RULE_S), *words)
    rules = [
        rule["rule"]
        for rule in json.loads(told)["rules"]
        if rule["outcome"] in ("failed", "crashed", "hung")
    ]
    status = status_of(folder, name)
    ill = "" if status in ("available", "unavailable") else status
    return Found(kind, fault, list(dict.fromkeys(rules)), ill, time.monotonic() - start_s)


def status_of(folder: Path, name: str) -> str:
    """As `ds-sdk list-plugins --json` has it, whatever a plugin prints after that."""
    answer, _ = json.JSONDecoder().raw_decode(sdk(folder, "list-plugins", "--json"))
    return next(row["status"] for row in answer["plugins"] if row["name"] == name)


def planted(kind: str, fault: str, number: int) -> Found:
    """One mistake in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="planted-", ignore_cleanup_errors=True) as name:
        plugin = f"zz_{kind}_{number:02}"
        install(Path(name), kind, plugin, FAULTS[kind].get(fault, {}))
        found = check(Path(name), plugin, kind, fault)
    mark = ("ok " if not found.by else "?? ") if fault == SOUND else ("   " if found.by else "NOT")
    print(f"{mark} {kind:8} {fault:46} {found.by or '-'}  ({found.seconds:.0f} s)", flush=True)
    return found


def own() -> list[str]:
    """Our plugins that are installed here."""
    with tempfile.TemporaryDirectory(prefix="planted-") as name:
        rows = json.loads(sdk(Path(name), "list-plugins", "--json"))["plugins"]
    return [row["name"] for row in rows if row["dist"].startswith(OURS)]


def main() -> int:
    """Plant, count, report."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--only", default="")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    report = Report(versions=versions(["deepseek-core", "pytest", "numpy"]))
    print_head("faults planted in plugins, and what finds them", report.versions)
    todo = [
        (kind, fault, number)
        for kind, faults in FAULTS.items()
        for number, fault in enumerate([SOUND, *faults])
        if args.only in (kind, "") or args.only in fault
    ]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda task: planted(*task), todo))
    alarms = [found for found in results if found.fault == SOUND and found.by]
    if not args.quick:
        with tempfile.TemporaryDirectory(prefix="planted-") as name:
            for plugin in own():
                found = check(Path(name), plugin, "own", plugin)
                print(f"{'??' if found.by else 'ok'}  own      {plugin:46} {found.by}", flush=True)
                alarms += [found] if found.by else []
    if not args.only:
        for kind, bar in BARS.items():
            count = sum(bool(f.by) for f in results if f.kind == kind and f.fault != SOUND)
            report.at_least(f"faults of a {kind} found, of {len(FAULTS[kind])}", count, bar, "")
    report.at_most("false alarms on sound plugins", len(alarms), 0, "")
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
