"""What it costs to start `ds-sdk`, as a ratio to a bare start of Python, beside other plugin hosts.

One core, fresh processes, all in turn; each figure is a ratio of medians to `python -c pass` of the
same interpreter. Light plugins are distributions on PYTHONPATH: metadata, a module with a hook.
Peers live in an environment of their own; what can't be installed there is named and left out.

    python benchmarks/startup.py [--json FILE] [--peers FOLDER] [--rounds N]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from _report import Report, Timing, interleave, pin, print_head, print_timings, versions

ROOT: Final = Path(__file__).resolve().parents[1]
BARE: Final = "python -c pass"
LIST: Final = "ds-sdk list-plugins"
PEERS_BARE: Final = "python -c pass (peers' environment)"
PEERS: Final = {
    "pytest": "--version",
    "datasette": "--version",
    "llm": "--version",
    "npe2": "list",
    "snakemake": "--version",
}
BARS: Final = {
    "ds-sdk --help": 12.0,
    "ds-sdk --version": 12.0,
    LIST: 12.0,
    f"{LIST}, 20 light plugins more": 15.0,
    f"{LIST}, 100 light plugins more": 20.0,
}
HOOKS: Final = '''"""A light plugin."""

from deepseek_core import DeviceSpec, hookimpl, hooks


@hookimpl(hooks.ds_register_devices)
def devices(ctx):
    """Offer one device."""
    return [DeviceSpec(name="{name}", kind="sim", factory="{name}.device:Device",
                       probe="{name}.device:probe")]
'''


def install_light_plugins(folder: Path, count: int) -> Path:
    """Put that many distributions with one plugin each into the folder."""
    for number in range(count):
        name = f"light_{number}"
        package, info = folder / name, folder / f"{name}-1.0.0.dist-info"
        package.mkdir(parents=True)
        info.mkdir()
        (package / "__init__.py").write_text("")
        (package / "hooks.py").write_text(HOOKS.replace("{name}", name))
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0.0\n")
        points = f"[deepseek_sdk.plugins.v1]\n{name} = {name}.hooks\n"
        (info / "entry_points.txt").write_text(points)
    return folder


def run(*words: str | Path, home: Path, path: Path | None = None) -> None:
    """Run a command to its end, with settings and caches in `home`.

    Raises:
        CalledProcessError: it failed, and what it took means nothing.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("DEEPSEEK_", "PYTHON"))}
    own = {"HOME": str(home), "XDG_CACHE_HOME": str(home), "XDG_CONFIG_HOME": str(home)}
    found = {} if path is None else {"PYTHONPATH": str(path)}
    subprocess.run(words, env=kept | own | found, cwd=home, check=True, capture_output=True)


def ours(home: Path) -> dict[str, Callable[[], None]]:
    """Our commands, and the bare start that they are compared with."""
    ds_sdk = Path(sys.executable).with_name("ds-sdk")
    contestants = {BARE: partial(run, sys.executable, "-c", "pass", home=home)}
    for claim in BARS:
        command, _, more = claim.partition(", ")
        count = int(more.split()[0]) if more else 0
        path = install_light_plugins(home / f"plugins_{count}", count) if count else None
        contestants[claim] = partial(run, ds_sdk, *command.split()[1:], home=home, path=path)
    return contestants


def peers(folder: Path, home: Path) -> dict[str, Callable[[], None]]:
    """The peers that can be had, installed into the folder unless they are there."""
    python = folder / "bin" / "python"
    if not python.is_file():
        venv.EnvBuilder(with_pip=True, symlinks=True).create(folder)
    contestants = {PEERS_BARE: partial(run, python, "-c", "pass", home=home)}
    for name, word in PEERS.items():
        program = folder / "bin" / name
        if program.is_file() or _installed(python, name):
            contestants[f"{name} {word}"] = partial(run, program, word, home=home)
    return contestants if len(contestants) > 1 else {}


def _installed(python: Path, name: str) -> bool:
    command = [python, "-m", "pip", "install", "-q", "--retries", "1", name]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        last = (process.stderr.strip() or "no reason given").splitlines()[-1]
        print(f"{name} is left out, for it can't be installed: {last}")
    return process.returncode == 0


def versions_of_peers(folder: Path) -> dict[str, str]:
    """Versions of the peers that are installed in the folder."""
    code = (
        "import sys, importlib.metadata as m\n"
        "for d in m.distributions(): print(d.name.lower(), d.version)"
    )
    python = folder / "bin" / "python"
    listed = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    found = dict(line.split() for line in listed.stdout.splitlines())
    return {name: found[name] for name in PEERS if name in found}


def judge(report: Report, timings: Mapping[str, Timing]) -> None:
    """Add our ratios with their bars, and each peer beside our command that does the same."""
    bare = timings[BARE].median_s
    for claim, bar in BARS.items():
        report.at_most(f"{claim} / {BARE}", timings[claim].median_s / bare, bar)
    for name, word in PEERS.items():
        peer = timings.get(f"{name} {word}")
        if peer is not None:
            mine = LIST if word == "list" else f"ds-sdk {word}"
            ratio = timings[mine].median_s / peer.median_s
            report.at_most(f"{mine} / {name} {word}", ratio, 1.0)


def main() -> int:
    """Measure, print, and say by the exit code whether every claim holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to this file")
    parser.add_argument(
        "--peers",
        type=Path,
        default=ROOT / "out" / "peers",
        metavar="FOLDER",
        help="environment with the peers, made where it is missing (default: out/peers)",
    )
    parser.add_argument("--rounds", type=int, default=15, metavar="N", help="rounds (15)")
    arguments = parser.parse_args()
    pin()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        others = peers(arguments.peers.resolve(), home)
        used = versions(("deepseek-core", "deepseek-onnx", "deepseek-fpga", "deepseek-null"))
        if others:
            used |= versions_of_peers(arguments.peers.resolve())
        print_head("Start-up as a ratio to a bare start of Python", used)
        timings = interleave(ours(home) | others, rounds=arguments.rounds)
    mine = {name: timing for name, timing in timings.items() if name not in others}
    print_timings("ours, with the plugins of this environment", mine, BARE)
    if others:
        print_timings("peers", {name: timings[name] for name in others}, PEERS_BARE)
    report = Report(versions=used)
    judge(report, timings)
    return report.finish(arguments.json)


if __name__ == "__main__":
    sys.exit(main())
