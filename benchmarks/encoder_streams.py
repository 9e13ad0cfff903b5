"""Streams through exported encoders: what a frame costs, early and late, and beside no state.

    python benchmarks/encoder_streams.py --json out/encoder_streams.json

WaveNet (20 samples a frame) and Transformer-XL (one id a step) run frame by frame on one pinned
thread: in ONNX Runtime alone, through a plan of a session, in eager PyTorch, and without state,
where the same file sees the whole of what a token depends on again for every frame. The input is
seeded noise: what is computed does not depend on its values. Times are processor time, since
one thread computes and waits for nobody.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import _report  # type: ignore[import-not-found,unused-ignore]

if __name__ == "__main__" and not {"-h", "--help"} & set(sys.argv):
    _report.pin()

import numpy as np

DISTRIBUTIONS = ("torch", "onnx", "onnxruntime", "deepseek-core", "deepseek-fusion")
GROWTH, DIFFERENCE = 1.1, 1e-5
BLOCK, ROUNDS = 50, 41
Array = np.ndarray[Any, Any]
Push = Callable[[Array], Array]


def encoders() -> dict[str, tuple[Any, Callable[[int], Any], int]]:
    """Encoder, what draws so many frames for it, and the frames that a token depends on."""
    import torch

    from deepseek_fusion.encoders import TransformerXL, TransformerXLConfig, WaveNet

    torch.manual_seed(0)
    sound = WaveNet().eval()
    text = TransformerXL(TransformerXLConfig(vocabulary=256, memory=64)).eval()
    return {
        "WaveNet": (sound, lambda f: torch.randn(1, f * sound.frame, 1), sound.receptive),
        "Transformer-XL": (text, lambda f: torch.randint(0, 256, (1, f)), 2 * 64 + 1),
    }


def eager(encoder: Any) -> Push:
    import torch

    state = None

    def push(chunk: Array) -> Array:
        nonlocal state
        with torch.no_grad():
            tokens, _, state = encoder.encode(torch.from_numpy(chunk), None, state)
        return np.asarray(tokens)

    return push


def stateless(path: Path, frame: int, depends_on: int) -> Push:
    """The last token of a window that is as long as what a token depends on."""
    from deepseek_fusion.export.stream import open_stream

    stream, kept = open_stream(path), None

    def push(chunk: Array) -> Array:
        nonlocal kept
        kept = chunk if kept is None else np.concatenate([kept, chunk], 1)[:, -depends_on * frame :]
        stream.restart()
        return stream.push(kept).tokens[:, -1:]

    return push


def block(push: Push, frames: list[Array]) -> Callable[[], None]:
    def run() -> None:
        for frame in frames:
            push(frame)

    return run


def cut(draw: Callable[[int], Any], frames: int) -> list[Array]:
    return [np.array(part) for part in np.split(draw(frames).numpy(), frames, axis=1)]


def measure(report: Any, name: str, case: Any, *, frames: int, folder: Path) -> None:
    from deepseek_core import Session
    from deepseek_fusion.export.onnx_file import export_encoder
    from deepseek_fusion.export.stream import open_stream

    encoder, draw, depends_on = case
    path = folder / f"{name}.onnx"
    export_encoder(encoder, draw(4), path)
    chunks = cut(draw, max(frames // 20, BLOCK))
    with Session(devices=["cpu"], threads=1) as session:
        opened = {
            f"{where}, {age}": open_stream(path, session=session if where == "session" else None)
            for where in ("ONNX Runtime", "session")
            for age in ("new", "old")
        }
        pushes: dict[str, Push] = {
            who: (lambda c, stream=stream: stream.push(c).tokens)  # type: ignore[misc]
            for who, stream in opened.items()
        } | {"eager": eager(encoder), "no state": stateless(path, encoder.frame, depends_on)}
        agree(report, name, encoder, pushes, chunks)
        for who, stream in opened.items():
            stream.restart()
            if who.endswith("old"):
                for turn in range(frames):
                    stream.push(chunks[turn % len(chunks)])
        some = chunks[:BLOCK]
        times = _report.interleave(
            {who: block(push, some) for who, push in pushes.items()},
            rounds=ROUNDS,
            clock=time.process_time,
        )
    cost = {who: timing.median_s / BLOCK for who, timing in times.items()}
    for who, seconds in cost.items():
        print(f"{name:15} {who:18} {1e6 * seconds:8.1f} us of CPU a frame")
    for where in ("ONNX Runtime", "session"):
        claim = f"{name}, {where}: a frame after {frames:,} others against one of a new stream"
        report.at_most(claim, cost[f"{where}, old"] / cost[f"{where}, new"], GROWTH)
    claim = f"{name}: without state, against ONNX Runtime with it"
    report.at_least(claim, cost["no state"] / cost["ONNX Runtime, new"], 1.0)


def agree(
    report: Any, name: str, encoder: Any, pushes: dict[str, Push], chunks: list[Array]
) -> None:
    """Add what each gives frame by frame beside the whole sequence in eager PyTorch."""
    whole = eager(encoder)(np.concatenate(chunks, 1))
    for who, push in pushes.items():
        if who.endswith("old"):
            continue
        tokens = np.concatenate([push(c) for c in chunks], 1)
        worst = float(np.abs(tokens - whole).max())
        claim = f"{name}, {who.split(',')[0]}: millionths off the whole, {len(chunks)} frames"
        report.at_most(claim, 1e6 * worst, 1e6 * DIFFERENCE, "")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--frames", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="1,000 frames: a smoke run")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    frames = 1000 if args.quick else args.frames
    report = _report.Report(versions=_report.versions(DISTRIBUTIONS))
    print(_report.cpu_kind())
    with tempfile.TemporaryDirectory() as folder:
        for name, case in encoders().items():
            measure(report, name, case, frames=frames, folder=Path(folder))
    return int(report.finish(args.json))


if __name__ == "__main__":
    sys.exit(main())
