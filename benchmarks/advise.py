"""`ds-sdk advise` on files that nobody here made.

Every topology in FOLDER is read, or refused by name with the reason; GPUs and adapters of two
clouds' machines are paired and compared with what the clouds publish; environments with one mistake
each, and five that providers publish, go through the rules; and the law of a collective's time
meets sizes that it has not seen.

FOLDER (or `$DEEPSEEK_DATA`/topology) has `nccl_xml`, `rccl_xml`, `hwloc_xml`, `smi` and
`nccl_tests`; the environments, and a third log, are those of the tests. Takes some seconds.

    python benchmarks/advise.py --data FOLDER [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from pathlib import Path
from typing import Final

from _report import Report, pin, print_head, versions

OURS: Final = Path(__file__).parents[1] / "tests" / "data" / "topology"
KINDS: Final = ("nccl_xml", "rccl_xml", "hwloc_xml", "smi")
NDV4: Final = [("0001", "0101"), ("0002", "0102"), ("0003", "0103"), ("0004", "0104"),
               ("000b", "0105"), ("000c", "0106"), ("000d", "0107"), ("000e", "0108")]  # fmt: skip
"""Azure: each GPU has an adapter of its own, in the order of bus ids."""
P4D: Final = [("10:1c", "10:1b"), ("10:1d", "10:1b"), ("20:1c", "20:1b"), ("20:1d", "20:1b"),
              ("90:1c", "90:1b"), ("90:1d", "90:1b"), ("a0:1c", "a0:1b"),
              ("a0:1d", "a0:1b")]  # fmt: skip
"""AWS: two GPUs and one adapter behind each of four switches."""


def topologies(report: Report, folder: Path) -> None:
    """Read all, and refuse what is none."""
    from deepseek_core import errors
    from deepseek_observe.advise.report import facts_of
    from deepseek_observe.advise.topology.opening import read_topology

    files = sorted(path for kind in KINDS for path in (folder / kind).iterdir())
    read = 0
    for path in files:
        found = read_topology(path)
        read += bool(found.gpus or found.nodes)
        print(" ", facts_of([found])[0].removeprefix(f"{path}: "), f"({path.name})")
    report.at_least(f"topologies read, of {len(files)}", read, len(files), "")
    strange = [OURS / "xml" / "ncv4_graph.xml", *sorted((folder / "nccl_tests").iterdir())]
    refused = 0
    for path in strange:
        try:
            read_topology(path)
        except errors.ArtifactError as error:
            refused += path.name in error.message and bool(error.remedy)
            print(f"  refused: {path.name}: {error.remedy}")
    report.at_least(f"other files refused by name, of {len(strange)}", refused, len(strange), "")


def pairing(report: Report, folder: Path) -> None:
    """Compare with what is published."""
    from deepseek_observe.advise.pairing import pairs
    from deepseek_observe.advise.topology.opening import read_topology

    for name, published in (("azure_ndv4-topo", NDV4), ("aws_p4d-24xl-topo", P4D)):
        found = pairs(read_topology(folder / "nccl_xml" / f"{name}.xml"))
        right = sum(
            gpu in str(pair.gpu.bus) and nic in str(pair.nic and pair.nic.bus)
            for pair, (gpu, nic) in zip(found, published, strict=True)
        )
        report.at_least(f"{name}: GPUs with the published adapter", right, len(published), "")


def environments(report: Report) -> None:
    """Planted mistakes, and what providers publish."""
    from deepseek_observe.advise.environment.lint import lint
    from deepseek_observe.advise.environment.reading import parse_environment
    from deepseek_observe.advise.environment.rule import Case
    from deepseek_observe.advise.joining import joined
    from deepseek_observe.advise.topology.opening import read_topology

    def alarms(text: str, files: list[str]) -> list[tuple[str, str | None]]:
        told = parse_environment(text, "planted")
        machine = joined([read_topology(OURS / name) for name in files])
        case = Case(env=told.values, topology=machine, twice={})
        found = lint(case)
        return [(one.rule, one.variable) for one in found if one.kind.value in ("warning", "unset")]

    planted = json.loads((OURS / "planted.json").read_text(encoding="utf-8"))["planted"]
    caught = 0
    for one in planted:
        base = (OURS / "clean" / f"{one['base']}.env").read_text(encoding="utf-8")
        found = alarms(base + "\n".join(one["lines"]), one.get("topology", []))
        caught += found == [(one["rule"], one["variable"])]
    report.at_least("planted mistakes named, and nothing else", caught, max(20, len(planted)), "")
    clean = sorted((OURS / "clean").glob("*.env"))
    false = sum(len(alarms(path.read_text(encoding="utf-8"), [])) for path in clean)
    report.at_most(f"false alarms on {len(clean)} published environments", false, 0, "")


def collectives(report: Report, folder: Path) -> None:
    """Leave each size out, and predict it."""
    from deepseek_observe.advise.collectives.model import left_out_errors
    from deepseek_observe.advise.collectives.table import parse_tables

    print(f"\n{'':34}{'law alone':>11}{'corrected':>11}")
    logs = [*sorted((folder / "nccl_tests").glob("*.csv")), *sorted((OURS / "logs").glob("*.log"))]
    for path in logs:
        (table,) = parse_tables(path.read_text(encoding="utf-8"), path.name)
        law, both = (
            statistics.median(left_out_errors(table, law=law).tolist()) for law in (True, False)
        )
        print(f"{path.stem:34}{law:11.1%}{both:11.1%}")
        report.at_most(f"{path.stem}: off at a size left out, median", 100 * both, 6.0, "%")


def main() -> int:
    """Run all and report."""
    pin()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = os.environ.get("DEEPSEEK_DATA")
    parser.add_argument(
        "--data", type=Path, required=known is None,
        default=None if known is None else Path(known) / "topology",
    )  # fmt: skip
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    used = versions(("deepseek-core", "deepseek-observe", "numpy"))
    print_head("advise", used)
    report = Report(versions=used)
    topologies(report, args.data)
    pairing(report, args.data)
    environments(report)
    collectives(report, args.data)
    return report.finish(args.json)


if __name__ == "__main__":
    sys.exit(main())
