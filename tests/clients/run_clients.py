"""Runs each `client_*.py`, a script as a user of that library has it, over a store of its own.

    make clients

prints a line each: right, failed with its last lines, or skipped with the reason. `ds-sdk` and the
libraries are those of the Python that runs this; names of clients run those alone.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import metadata, util
from pathlib import Path
from typing import Final, Literal

import attrs

from deepseek_store import Policy, Store

HERE: Final = Path(__file__).resolve().parent
NEEDS: Final = {
    "dask": ("dask", "pandas", "pyarrow", "zarr"),
    "datasets": ("datasets",),
    "duckdb": ("duckdb",),
    "fsspec": ("fsspec",),
    "h5py": ("h5py", "numpy"),
    "numpy": ("numpy",),
    "pandas": ("pandas", "pyarrow"),
    "pictures": ("pillow", "imageio"),
    "polars": ("polars", "pyarrow"),
    "pyarrow": ("pyarrow",),
    "safetensors": ("safetensors", "torch", "numpy"),
    "torch": ("torch",),
    "torch_checkpoint": ("torch",),
    "xarray": ("xarray", "zarr", "h5netcdf"),
    "zarr": ("zarr",),
}
_MODULES: Final = {"pillow": "PIL"}
_LONGEST_S: Final = 180
Verdict = Literal["right", "failed", "skipped"]


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of one script; `told` is the reason, or the end of what it printed."""

    client: str
    versions: str
    verdict: Verdict
    seconds: float = 0.0
    told: str = ""


def clients() -> list[str]:
    """Names of all scripts."""
    return sorted(path.stem.removeprefix("client_") for path in HERE.glob("client_*.py"))


def missing(client: str) -> list[str]:
    """Libraries that a script needs and that are not installed."""
    return [name for name in NEEDS[client] if util.find_spec(_MODULES.get(name, name)) is None]


def run(client: str, *, tier: str) -> Outcome:
    """Run one script over a new store whose objects land on that tier."""
    if absent := missing(client):
        told = f"not installed: {', '.join(absent)} (no wheel for this machine?)"
        return Outcome(client=client, versions="", verdict="skipped", told=told)
    start_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ds-clients-", ignore_cleanup_errors=True) as folder:
        environ = {
            **os.environ,
            "DEEPSEEK_STORE_HOME": str(_make_store(Path(folder), tier)),
            "TMPDIR": folder,
            "PYTHONWARNINGS": "ignore",
        }
        code, printed = _run(HERE / f"client_{client}.py", Path(folder), environ)
    lines = printed.strip().splitlines()
    right = code == 0 and lines[-1:] == ["right"]
    return Outcome(
        client=client,
        versions=", ".join(f"{name} {metadata.version(name)}" for name in NEEDS[client]),
        verdict="right" if right else "failed",
        seconds=round(time.monotonic() - start_s, 1),
        told="" if right else f"ended with {code}\n" + "\n".join(lines[-15:]),
    )


def _make_store(folder: Path, tier: str) -> Path:
    home, cold = folder / "home", folder / "cold"
    cold.mkdir()
    codes = {"hot": "auto", "warm": "auto", "cold": "replication(2)"}
    policy = Policy(landing=tier, codes=codes)
    Store.init(home, cold=[f"{cold.as_uri()}?domains=a,b"], policy=policy).close()
    return home


def _run(script: Path, folder: Path, environ: dict[str, str]) -> tuple[int, str]:
    command = [sys.executable, str(script)]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environ, timeout=_LONGEST_S, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return -1, f"{error.stdout or ''}\nno end after {_LONGEST_S} s"
    return done.returncode, done.stdout


def _line(outcome: Outcome) -> str:
    first = f"{outcome.verdict:8} {outcome.client:17} {outcome.seconds:5.1f} s  {outcome.versions}"
    if outcome.verdict == "skipped":
        return f"{outcome.verdict:8} {outcome.client:17} {outcome.told}"
    return first + re.sub("^", "\n    ", outcome.told, flags=re.M) if outcome.told else first


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them all; 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help=f"some of: {', '.join(clients())}")
    parser.add_argument("--tier", default="hot", choices=("hot", "cold"), help="where objects land")
    parser.add_argument("--json", type=Path, help="a file for the outcomes")
    options = parser.parse_args(arguments)
    outcomes = []
    for client in options.names or clients():
        outcomes.append(run(client, tier=options.tier))
        print(_line(outcomes[-1]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([attrs.asdict(one) for one in outcomes], indent=1))
    failed = [one.client for one in outcomes if one.verdict == "failed"]
    print(f"failed: {', '.join(failed)}" if failed else "no client failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
