"""The flagship with a stranger's device beside ours: never slower than without it.

The device is what `ds-sdk new-plugin device` makes: three operators in plain numpy. Fresh
processes, with and without it in turn; each calibrates with an empty history, plans, and streams.

    python benchmarks/beside.py [--rounds N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from _report import Report, pin, print_head, versions

NAME: Final = "acme_npu"
STREAMS: Final = 5  # in each process; the median counts


def make_plugin(folder: Path) -> Path:
    """What the scaffold makes, with the metadata of an installed distribution."""
    ds_sdk = Path(sys.executable).with_name("ds-sdk")
    command = [ds_sdk, "new-plugin", "device", NAME, "--folder", folder / "made"]
    subprocess.run(command, check=True, capture_output=True)
    source = folder / "made" / "src"
    info = source / f"{NAME}-1.0.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1.0.0\n")
    points = f"[deepseek_sdk.plugins.v1]\n{NAME} = {NAME}.hooks\n"
    (info / "entry_points.txt").write_text(points)
    return source


def ask(path: Path | None, home: Path) -> dict[str, Any]:
    """One process: what it measured."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DEEPSEEK_")}
    environ |= {"PYTHONPATH": str(path)} if path is not None else {}
    command = [sys.executable, __file__, "--child", str(home)]
    answer = subprocess.run(command, env=environ, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(answer.stdout.splitlines()[-1])
    return found


def child(home: Path) -> None:
    """Calibrate, plan, stream the flagship; print what came out as JSON."""
    import numpy as np

    from visual_search import BATCH, EXAMPLE, NEIGHBORS, embed_all, split

    sys.path.insert(0, str(EXAMPLE))
    from dataset import load_crops, split_by_board
    from deepseek_core import Session

    gallery, queries = split_by_board(load_crops())
    batches = [{"images": images} for images in split(queries)]
    with tempfile.TemporaryDirectory(dir=home) as cache, Session(cache_dir=Path(cache)) as session:
        graph = session.load(EXAMPLE / "models" / "visual_search_int8.onnx")
        bound = graph.bind(gallery=embed_all(session, graph, gallery), k=np.array([NEIGHBORS]))
        session.calibrate(bound, inputs=batches[0])
        with session.plan(bound, batch=BATCH) as plan:
            plan.warmup()
            times = []
            for _ in range(STREAMS):
                start_s = time.perf_counter()
                items = sum(result.batch for result in plan.stream(batches))
                times.append(time.perf_counter() - start_s)
            report = {
                "items_per_s": items / statistics.median(times),
                "devices": dict(plan.devices),
                "present": [info.id for info in session.devices],
                "lines": len(plan.explain().splitlines()),
            }
    print(json.dumps(report))


def judge(report: Report, found: Mapping[str, list[dict[str, Any]]]) -> None:
    """The claims of this benchmark."""
    rates = {who: statistics.median(r["items_per_s"] for r in rows) for who, rows in found.items()}
    for who, rows in found.items():
        last = rows[-1]
        where = ", ".join(f"{stage} on {device}" for stage, device in last["devices"].items())
        print(f"{rates[who]:8.1f} pictures/s {who}: {where}; a plan of {last['lines']} lines")
    assert any(device.startswith(NAME) for device in found["with it"][-1]["present"])
    ratio = rates["with it"] / rates["without"]
    report.at_least("flagship with the scaffold's device / without it", ratio, 0.97)
    more = found["with it"][-1]["lines"] / found["without"][-1]["lines"]
    report.at_most("lines of its plan, with it / without", more, 1.5)


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child is not None:
        child(args.child)
        return 0
    pin(cores=2)
    used = versions(["deepseek-core", "deepseek-onnx", "numpy", "onnxruntime", "pyopencl"])
    print_head("The flagship with a stranger's device beside ours", used)
    found: dict[str, list[dict[str, Any]]] = {"without": [], "with it": []}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        paths = {"without": None, "with it": make_plugin(folder)}
        for _ in range(args.rounds):
            for who, rows in found.items():
                rows.append(ask(paths[who], folder))
    report = Report(versions=used)
    judge(report, found)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
