"""Visual search on whatever this machine has: pictures in, nearest known pictures out.

A convolutional network turns pictures of circuit boards into embeddings, a matcher finds the
nearest of 11,569 known ones. Which device does what is measured, decided and explained.
Run it with `make demo`, `ds-sdk demo` or `python examples/visual_search/demo.py`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np
import numpy.typing as npt

from dataset import Crops, load_crops, split_by_board
from deepseek_core import DeepSeekError, Graph, Plan, Session, console, errors
from page import write_page

MODELS: Final = Path(__file__).parent / "models"
PRECISIONS: Final = ("fp32", "int8")
YOURS: Final = "yours"
COMPARED_BATCHES: Final = 40
MOST_NEIGHBORS: Final = 16
NOISE: Final = 0.03  # between two measurements of one thing

Say = Callable[[str], None]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the demo."""
    add = parser.add_argument
    add(
        "--output",
        default="out",
        metavar="FOLDER",
        help="where visual_search.html and trace.json go (default: %(default)s)",
    )
    add(
        "--pin",
        action="append",
        default=[],
        metavar="STAGE=DEVICE",
        help="run a stage on a device instead, for comparison (match=fpga, match=onnx)",
    )
    add(
        "--model",
        type=Path,
        metavar="FILE",
        help="an ONNX file to run beside the two of the demo, with the same inputs and outputs",
    )
    add(
        "--batch",
        type=_count,
        default=16,
        metavar="N",
        help="pictures in one batch (default: %(default)s)",
    )
    add(
        "--rounds",
        type=_count,
        default=3,
        metavar="N",
        help="rounds of the throughput comparison (default: %(default)s)",
    )
    add(
        "--threads", type=_count, metavar="N", help="host cores that devices may use (default: all)"
    )
    add(
        "--neighbors",
        type=_neighbors,
        default=5,
        metavar="K",
        help="neighbors of each query, 1 to 16 (default: %(default)s)",
    )
    add("--json", action="store_true", help="print one JSON object and nothing else")


def _count(text: str) -> int:
    """A whole number of 1 or more."""
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, got {text!r}")
    return value


def _neighbors(text: str) -> int:
    """As many as every device finds."""
    value = _count(text)
    if value > MOST_NEIGHBORS:
        raise argparse.ArgumentTypeError(f"must be {MOST_NEIGHBORS} or less, got {text!r}")
    return value


def parse_pins(texts: list[str]) -> dict[str, str]:
    """`["match=onnx"]` -> `{"match": "onnx"}`.

    Raises:
        ConfigError: a text of another form, or a stage that is pinned twice.
    """
    pins = dict(text.partition("=")[::2] for text in texts)
    if len(pins) < len(texts):
        raise errors.ConfigError(
            f"--pin names a stage twice, got {' '.join(texts)!r}", remedy="pin it once"
        )
    if not all(pins) or not all(pins.values()):
        raise errors.ConfigError(
            f"--pin needs STAGE=DEVICE, got {' '.join(texts)!r}",
            remedy="for example --pin match=onnx",
        )
    return pins


@dataclass(kw_only=True)
class Outcome:
    """What one model did: its figures, the neighbors it found, what ran when."""

    facts: dict[str, Any]
    indices: npt.NDArray[np.int64]
    """Places in the gallery [queries, neighbors], nearest first."""
    spans: tuple[Any, ...]


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit code."""
    say: Say = (lambda _text: None) if args.json else console.print_lines
    output = Path(args.output)
    pins = parse_pins(args.pin)
    with Session(threads=args.threads) as session:
        files = model_files(args.model)
        check_files(session, files, pins)  # before minutes of work
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = "is no folder" if output.exists() else error.strerror
            raise errors.ConfigError(
                f"--output {output}: {why}", remedy="choose another folder"
            ) from error
        gallery, queries = split_by_board(load_crops())
        devices = [attrs.asdict(info) for info in session.devices]
        say(_device_table(devices))
        say(f"{len(gallery):,} known pictures; {len(queries):,} queries, of boards never seen")
        outcomes = {
            name: Demo(
                session, file, gallery=gallery, queries=queries, pins=pins, args=args, say=say
            ).run(name)
            for name, file in files.items()
        }
    report = {"devices": devices} | {name: o.facts for name, o in outcomes.items()}
    best = outcomes["int8"]
    write_page(
        output / "visual_search.html",
        report,
        gallery=gallery,
        queries=queries,
        indices=best.indices,
        spans=best.spans,
    )
    say(f"\npage:  {output / 'visual_search.html'}")
    say(f"trace: {output / 'trace.json'} (open it in Perfetto)")
    if args.json:
        console.print_json(report)
    return 0


def check_files(session: Session, files: dict[str, Path], pins: dict[str, str]) -> None:
    """See that the models are fit for a search, have these stages, and that devices can run them.

    Raises:
        ArtifactError: a file that is no model.
        ConfigError: a model of another purpose; no such stage or device.
        NoDevice: a stage is pinned where it can't run.
    """
    for name, file in files.items():
        if pins or name == YOURS:
            graph = session.load(file)
            check_names(graph, file)
            session.plan(graph, pin=pins).close()


def check_names(graph: Graph, file: Path) -> None:
    """See that a model takes and gives what a search needs: pictures as they are read, for one.

    Raises:
        ConfigError: it does not; says what is missing.
    """
    for kind, names, wanted in (
        ("input", [spec.name for spec in graph.inputs], ("images", "gallery", "k")),
        ("output", graph.outputs, ("embedding", "indices")),
    ):
        missing = [name for name in wanted if name not in names]
        if missing:
            raise errors.ConfigError(
                f"--model {file}: it has no {kind} {missing[0]!r}",
                remedy="make it with examples/compression/searchable.py",
            )
    dtype = next(spec.dtype for spec in graph.inputs if spec.name == "images")
    if dtype != "uint8":
        raise errors.ConfigError(
            f"--model {file}: its images are {dtype}, and pictures are uint8",
            remedy="make it with examples/compression/searchable.py",
        )


def model_files(own: Path | None) -> dict[str, Path]:
    """The models' places by name: the demo's two, and one that was given."""
    files = {name: MODELS / f"visual_search_{name}.onnx" for name in PRECISIONS}
    return files if own is None else files | {YOURS: own}


class Demo:
    """One model from file to answers."""

    def __init__(
        self,
        session: Session,
        file: Path,
        *,
        gallery: Crops,
        queries: Crops,
        pins: dict[str, str],
        args: argparse.Namespace,
        say: Say,
    ) -> None:
        self._session, self._pins, self._args, self._say = session, pins, args, say
        self._file, self._gallery, self._queries = file, gallery, queries

    def run(self, name: str) -> Outcome:
        """Embed the gallery, measure, plan, compare, answer."""
        self._say(f"\n== {name} ==")
        file = self._file
        known = self._embed(self._session.load(file, outputs=["embedding"]), self._gallery)
        neighbors = np.array([self._args.neighbors], np.int64)
        bound = self._session.load(file, gallery=known, k=neighbors)
        plan = self._plan(bound)
        compared = self._compare(plan)
        before = len(plan.spans)
        nearest, answers = self._answer(plan)
        plan.write_trace(Path(self._args.output) / "trace.json")
        facts = (
            plan.to_json()
            | answers
            | {
                "comparison": [attrs.asdict(row) for row in compared.rows],
                "verdict": verdict(compared, pinned=bool(self._pins)),
                "refusals": dict(compared.refusals),
            }
        )
        return Outcome(facts=facts, indices=nearest, spans=plan.spans[before:])

    def _batches(self, crops: Crops) -> Iterator[dict[str, npt.NDArray[np.uint8]]]:
        for start in range(0, len(crops), self._args.batch):
            yield {"images": crops.images[start : start + self._args.batch]}

    def _embed(self, graph: Graph, crops: Crops) -> npt.NDArray[Any]:
        found = []
        plan = self._session.plan(graph, batch=self._args.batch)
        with plan, Progress(self._say, "embedding the known pictures", len(crops)) as progress:
            for result in plan.stream(self._batches(crops)):
                found.append(result["embedding"])
                progress.advance(result.batch)
        return np.concatenate(found)

    def _plan(self, graph: Graph) -> Plan:
        sample = next(self._batches(self._queries))
        self._session.calibrate(graph, inputs=sample)
        plan = self._session.plan(graph, batch=self._args.batch, pin=self._pins)
        self._say(plan.explain())
        return plan

    def _compare(self, plan: Plan) -> Any:
        batches = list(self._batches(self._queries))[:COMPARED_BATCHES]
        compared = self._session.compare(plan, batches, rounds=self._args.rounds)
        self._say("measured side by side:")
        for row in compared.rows:
            where = ", ".join(f"{s} on {d}" for s, d in row.placement.items())
            mark = "  <- the plan" if row is compared.chosen else ""
            self._say(f"  {row.items_per_s:8.1f} pictures/s   {where}{mark}")
        for device, reason in compared.refusals.items():
            self._say(f"         - pictures/s   {device} alone: refused, {reason}")
        self._say(verdict(compared, pinned=bool(self._pins)))
        return compared

    def _answer(self, plan: Plan) -> tuple[npt.NDArray[np.int64], dict[str, Any]]:
        indices, start_s = [], time.perf_counter()
        with Progress(self._say, "answering", len(self._queries)) as progress:
            for result in plan.stream(self._batches(self._queries)):
                indices.append(result["indices"])
                progress.advance(result.batch)
        seconds = time.perf_counter() - start_s
        nearest = np.concatenate(indices)
        right = self._gallery.labels[nearest[:, 0]] == self._queries.labels
        self._say(
            f"top-1 class accuracy {right.mean():.4f} ({right.sum()} of {len(right)}), "
            f"{len(right) / seconds:.0f} pictures/s"
        )
        return nearest, {
            "top1": float(right.mean()),
            "queries": len(right),
            "items_per_s": len(right) / seconds,
            "occupancy": plan.occupancy(),
        }


def verdict(compared: Any, *, pinned: bool) -> str:
    """Whether another placement was measured to be faster than the plan, by how much, and why."""
    chosen, best = compared.chosen, max(compared.rows, key=lambda row: row.items_per_s)
    gain = best.items_per_s / chosen.items_per_s - 1
    spread = max(max(r.rounds) / min(r.rounds) - 1 for r in (chosen, best))
    where = ", ".join(f"{stage} on {device}" for stage, device in best.placement.items())
    if best is chosen or gain <= NOISE:
        return "No other placement is measurably faster than the plan."
    told = f"{where} measures {gain:.0%} faster than the plan"
    if gain <= spread:
        return f"{told}, less than its rounds differ among themselves ({spread:.0%})."
    if pinned:
        return f"{told}, in which stages are pinned."
    if best.predicted_s < chosen.predicted_s:
        saved = 1 - best.predicted_s / chosen.predicted_s
        return (
            f"{told}: it was estimated to need {saved:.0%} less, too little to be sure of "
            "before it was measured."
        )
    return (
        f"{told}: by its stages' costs, measured one by one, a batch there takes "
        f"{best.predicted_s * 1e3:.1f} ms against {chosen.predicted_s * 1e3:.1f} ms here; "
        "running together they disturb each other differently."
    )


class Progress:
    """A line that grows when a person watches; a few plain lines in a pipe."""

    def __init__(self, say: Say, title: str, total: int) -> None:
        self._say, self._title, self._total = say, title, total
        self._done = self._told = 0
        self._live = say is print and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def advance(self, count: int) -> None:
        """Count some more as done; tell at every quarter, or at once to a person."""
        self._done += count
        quarter = 4 * self._done // self._total
        if self._live:
            print(f"\r{self._title}: {self._done:,}/{self._total:,}", end="", file=sys.stderr)
        elif quarter > self._told:
            self._told = quarter
            self._say(f"{self._title}: {self._done:,}/{self._total:,}")

    def __exit__(self, *_exc: object) -> None:
        if self._live:
            print(file=sys.stderr)


def _device_table(devices: list[dict[str, Any]]) -> str:
    lines = ["devices"]
    for row in devices:
        state = (
            row["status"] if row["status"] == "available" else f"{row['status']}: {row['reason']}"
        )
        lines.append(f"  {row['id']:<20} {row['name']}  [{row['evidence']}]  {state}")
    return "\n".join(lines)


def main() -> int:
    """Entry point of the script."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except DeepSeekError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
