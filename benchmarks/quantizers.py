"""int8 files for ONNX Runtime on x86: ours beside those of the quantizers that people use.

    python benchmarks/quantizers.py --data FOLDER [--corpus FOLDER] [--peers FOLDER] [--kept FOLDER]
        [--only MODEL ...] [--tools TOOL ...] [--rounds 41] [--quick] [--json FILE]

Every tool gets the same float file and samples, runs in a process of its own with a time limit,
and makes a QDQ file; all files are judged in one ONNX Runtime: the outputs' error relative to the
float file's, on samples that no tool has seen; accuracy where there are labels; int8 coverage as
`deepseek_compress.lower.coverage` has it; and processor time of one sample at one thread, the
files in an order that is drawn anew each round. Our file runs twice: what "ours, again" differs by
is noise, to hold the rows on speed against. "ours, max_error 0.1" leaves layers in float until
outputs are within 10 %; it has no part in the claims.

Tools want other versions of onnx and numpy than each other: `--peers` names a folder of virtual
environments by distribution, FOLDER/nncf/bin/python and so on; what is neither there nor here is
left out.

Claims: ours never has more error and never loses more accuracy than the best peer, beyond the
interval (95 % of the paired differences), and is never slower than the fastest peer. The three may
be different tools, of which one may be fast and useless. A file that does better than the float one
has lost nothing, and no more than that: a quantizer's job is to keep what a model does. The plain
difference of accuracy is printed below each table.
FOLDER of the data (or `$DEEPSEEK_DATA`) has fashion_mnist_*.npz, mnist_t10k.npz, fsdd_*.npz;
the corpus is what `make corpus` unpacks. With --kept files are kept there and not made again.
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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from _quantizer_peers import PEERS, Peer
from _report import Report, pin, print_head, versions

CHILD = Path(__file__).with_name("_quantizer_peers.py")
OURS, AGAIN, NEAR, FLOAT = "ours", "ours, again", "ours, max_error 0.1", "float32"
LIMIT_S = 1_200
SAME_SPEED = 0.97
LONG_S = 0.02  # a timed call repeats the sample until it takes about that


@dataclass
class Judged:
    """What is known of a file.

    `errors`: of each sample the squared error over the mean of the float outputs' squares;
    `right`: whether its label was told, empty without labels; `coverage` in percent.
    """

    file: Path
    errors: Any
    right: Any
    coverage: float
    made_s: float = 0.0
    time_s: float = 0.0

    @property
    def error(self) -> float:
        """Percent of the float outputs' root of mean squares."""
        return 100 * float(self.errors.mean()) ** 0.5

    @property
    def accuracy(self) -> float:
        """Percent of the labels."""
        return 100 * float(self.right.mean()) if len(self.right) else float("nan")


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    place = os.environ.get("DEEPSEEK_DATA")
    parser.add_argument("--data", type=Path, default=Path(place) if place else None)
    parser.add_argument("--corpus", type=Path, default=Path(sys.prefix) / "corpus")
    parser.add_argument("--peers", type=Path, help="virtual environments by distribution")
    parser.add_argument("--kept", type=Path, help="where files are kept")
    parser.add_argument("--only", nargs="*", help="models whose names begin so")
    parser.add_argument("--tools", nargs="*", help=f"some of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=41, help="default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="few samples; bars do not count")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("give --data FOLDER, or set $DEEPSEEK_DATA")
    pin()
    from _quantizer_models import Shelf

    tools = found_tools(arguments)
    used = versions(["deepseek-compress", "onnx", "onnxruntime", "numpy", "torch"])
    print_head("Quantizers for ONNX Runtime on x86", used | theirs(tools))
    report = Report(versions=used | theirs(tools))
    with tempfile.TemporaryDirectory(prefix="quantizers-") as folder:
        shelf = Shelf(arguments.data, arguments.corpus, arguments.kept or Path(folder))
        shelf.quick = arguments.quick
        shelf.kept.mkdir(parents=True, exist_ok=True)
        for name, load in shelf.models():
            if not arguments.only or any(name.startswith(start) for start in arguments.only):
                try:
                    model = load()
                except FileNotFoundError as error:
                    print(f"\n{name}: left out: {error}", flush=True)
                    continue
                on_model(model, tools, arguments.rounds, shelf.kept, report)
    code = report.finish(arguments.json)
    return 0 if arguments.quick else code


def found_tools(arguments: argparse.Namespace) -> dict[str, str]:
    """The interpreter of each tool that can be run; what can't is said."""
    found = {}
    for name, peer in PEERS.items():
        if arguments.tools and name not in {OURS, NEAR, *arguments.tools}:
            continue
        python = interpreter(peer, arguments.peers)
        if version_of(peer, python):
            found[name] = python
        else:
            print(f"{name} left out: pip install {peer.install}")
    return found


def interpreter(peer: Peer, folder: Path | None) -> str:
    """The environment of a tool, or this one."""
    own = folder / peer.package / "bin" / "python" if folder else None
    return str(own) if own is not None and own.exists() else sys.executable


def version_of(peer: Peer, python: str) -> str:
    """What is installed there; empty if it is not."""
    ask = f"from importlib import metadata; print(metadata.version({peer.package!r}))"
    answer = subprocess.run(
        [python, "-c", ask], check=False, capture_output=True, text=True, env=environ(python)
    )
    return answer.stdout.strip()


def environ(python: str) -> dict[str, str]:
    """The environment of a child: another interpreter has its own packages."""
    kept = dict(os.environ)
    if python != sys.executable:
        kept.pop("PYTHONPATH", None)
    return kept


def theirs(tools: dict[str, str]) -> dict[str, str]:
    """Versions of the tools' distributions."""
    return {PEERS[n].package: version_of(PEERS[n], python) for n, python in tools.items()}


def on_model(model: Any, tools: dict[str, str], rounds: int, kept: Path, report: Report) -> None:
    """One model: make, judge, time, tell."""
    print(f"\n{model.name}", flush=True)
    folder = kept / model.name.replace(" ", "-")
    folder.mkdir(exist_ok=True)
    floats = judged(model, model.path, model.path)
    found = {FLOAT: floats}
    for name, python in tools.items():
        try:
            file, made_s = made(name, python, model, folder)
            found[name] = judged(model, file, model.path)
            found[name].made_s = made_s
        except Exception as error:  # noqa: BLE001  a tool that fails is a line of the table
            print(f"  {name} fails: {reason(error)}", flush=True)
    if OURS in found:
        found[AGAIN] = replace(found[OURS])
    timed(model, found, rounds)
    print_table(found)
    claims(model, found, report)


def reason(error: Exception) -> str:
    """What a tool said last."""
    if isinstance(error, subprocess.TimeoutExpired):
        return f"not done after {LIMIT_S} s"
    if isinstance(error, subprocess.CalledProcessError):
        error_lines = (error.stderr or error.stdout or "").strip().splitlines()
        return (error_lines or [f"exit {error.returncode}"])[-1][:300]
    return f"{type(error).__name__}: {error}"[:300]


def made(name: str, python: str, model: Any, folder: Path) -> tuple[Path, float]:
    """A tool's file, and the seconds of processor time that it took."""
    import numpy as np

    stem = name.replace(", ", "_")
    file, told = folder / f"{stem}.onnx", folder / f"{stem}.json"
    if not told.exists():
        samples = folder / "samples.npz"
        np.savez(samples, **model.to_calibrate)
        with tempfile.TemporaryDirectory() as work:  # where tools leave what they will
            answer = subprocess.run(
                [python, str(CHILD), name, str(model.path), str(samples), str(file)],
                capture_output=True, text=True, timeout=LIMIT_S, check=True, cwd=work,
                env=environ(python),
            )  # fmt: skip
        told.write_text(answer.stdout.splitlines()[-1], encoding="utf-8")
    return file, float(json.loads(told.read_text(encoding="utf-8"))["cpu_s"])


def judged(model: Any, file: Path, floats: Path) -> Judged:
    """Error, accuracy and coverage."""
    import numpy as np

    right = model.hits(file) if model.hits is not None else np.zeros(0)
    return Judged(file, errors_of(model, file, floats), right, 100 * coverage(file, model))


def errors_of(model: Any, file: Path, floats: Path) -> Any:
    """Of each sample, squares of the error over the mean squares of the float file's outputs."""
    import numpy as np
    import onnx

    from deepseek_compress.onnx_graph.running import run_calls

    off, whole = [], []
    pairs = zip(*(run_calls(onnx.load(f), model.held_out) for f in (floats, file)), strict=True)
    for (fed, expected), (_, other) in pairs:
        both = [(a[: fed.count], b[: fed.count]) for a, b in zip(expected, other, strict=True)]
        rows = [
            (a.reshape(fed.count, -1).astype(float), b.reshape(fed.count, -1))
            for a, b in both
            if a.dtype.kind == "f"
        ]
        off.append(sum(np.square(a - b).sum(1) for a, b in rows))
        whole.append(sum(np.square(a).sum(1) for a, _ in rows))
    return np.concatenate(off) / np.concatenate(whole).mean()


def coverage(file: Path, model: Any) -> float:
    """Share of the file's multiply-accumulates that ONNX Runtime does in integer."""
    import onnx

    from deepseek_compress.lower.coverage import int8_coverage
    from deepseek_compress.lower.lowered import Lowered
    from deepseek_compress.onnx_graph.reading import FloatModel

    proto = onnx.load(file)
    for number, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{number}"
    lowered = Lowered(proto=proto, target="ort_x86", stays_float={})
    one = {name: array[:1] for name, array in model.inputs.items()}
    return int8_coverage(FloatModel(proto=proto), lowered, one).macs


def timed(model: Any, found: dict[str, Judged], rounds: int) -> None:
    """Processor time of one sample; before a file is timed it runs once."""
    import numpy as np
    import onnx

    from deepseek_compress.onnx_graph.running import open_session

    one = {name: array[-1:] for name, array in model.inputs.items()}
    sessions = {name: open_session(onnx.load(each.file)) for name, each in found.items()}
    sessions[FLOAT].run(None, one)
    repeats = max(1, round(LONG_S / spent_s(sessions[FLOAT], one, 1)))
    times: dict[str, list[float]] = {name: [] for name in sessions}
    rng = np.random.default_rng(0)
    for _ in range(rounds):
        for name in rng.permutation(list(sessions)):
            sessions[name].run(None, one)
            times[name].append(spent_s(sessions[name], one, repeats) / repeats)
    for name, each in found.items():
        each.time_s = statistics.median(times[name])


def spent_s(session: Any, one: dict[str, Any], times: int) -> float:
    """Processor time of the same sample so many times."""
    start_s = time.process_time()
    for _ in range(times):
        session.run(None, one)
    return time.process_time() - start_s


def print_table(found: dict[str, Judged]) -> None:
    """One line a file."""
    print("   error % accuracy %  int8 %       ms speed-up  made, s")
    base = found[FLOAT].time_s
    for name, each in found.items():
        accuracy = f"{each.accuracy:.2f}" if len(each.right) else "-"
        print(
            f"  {each.error:8.2f} {accuracy:>10} {each.coverage:7.1f} "
            f"{1e3 * each.time_s:8.3f} {base / each.time_s:8.2f} {each.made_s:8.1f}  {name}",
            flush=True,
        )


def claims(model: Any, found: dict[str, Judged], report: Report) -> None:
    """Ours beside the most faithful peer, the most accurate one, and the fastest."""
    peers = {n: each for n, each in found.items() if n not in (FLOAT, OURS, AGAIN, NEAR)}
    if OURS not in found or not peers:
        return
    mine, floats = found[OURS], found[FLOAT]
    fastest = min(peers, key=lambda name: peers[name].time_s)
    ratio = peers[fastest].time_s / mine.time_s
    report.at_least(f"{model.name}: speed over the fastest peer ({fastest})", ratio, SAME_SPEED)
    best = min(peers, key=lambda name: peers[name].error)
    spread = half_interval(mine.errors, peers[best].errors) / peers[best].errors.mean()
    claim = f"{model.name}: error over the least of a peer ({best})"
    report.at_most(claim, mine.error / peers[best].error, round(float(1 + spread) ** 0.5, 3))
    if len(mine.right):
        best = max(peers, key=lambda name: peers[name].accuracy)
        kept = min(peers[best].accuracy, floats.accuracy)
        spread = 100 * half_interval(mine.right, peers[best].right)
        claim = f"{model.name}: accuracy kept over the best of a peer ({best})"
        ahead = min(mine.accuracy, floats.accuracy) - kept
        report.at_least(claim, ahead, -round(spread, 2), "pt")
        plain = mine.accuracy - peers[best].accuracy
        print(
            f"  accuracy, also above float's: {plain:+.2f} pt beside {best} (95 %: {spread:.2f} pt "
            "either way); no claim",
            flush=True,
        )


def half_interval(mine: Any, other: Any) -> float:
    """Half of the 95 % interval of the mean difference of the same samples."""
    difference = mine.astype(float) - other
    return float(1.96 * difference.std() / len(difference) ** 0.5)


if __name__ == "__main__":
    sys.exit(main())
