"""Requests and batches over three devices, two of which lie, hang, crash or die, in turn.

Each kind of misbehavior gets a server with requests from 8 threads, some by a deadline, then a
stream and a run of a plan. Every value of a request says whose it is, so a wrong or foreign answer
is seen; all are looked at once more at the end, when nobody may have written into them. A number
that is wrong but plausible can be told by nobody, and is not among the kinds.

    python benchmarks/chaos.py [--requests 10000] [--batches 2000] [--kinds NAME ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _report import Report, print_head, versions

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "deepseek_core"))


def main() -> int:
    import chaos_devices
    import chaos_rounds

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="over all kinds")
    parser.add_argument("--batches", type=int, default=2_000, help="over all kinds")
    parser.add_argument("--kinds", nargs="+", metavar="NAME", choices=list(chaos_devices.KINDS))
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)  # what the devices did is told below
    kinds = args.kinds or list(chaos_devices.KINDS)
    report = Report(versions=versions(["deepseek-core", "numpy"]))
    print_head("Devices that misbehave", report.versions)
    requests, batches = (-(-total // len(kinds)) for total in (args.requests, args.batches))
    print(f"{len(kinds)} kinds; {requests} requests and {batches} batches of each\n")
    outcomes = [told(kind, requests, batches, chaos_rounds) for kind in kinds]
    judge(report, outcomes, chaos_rounds)
    return report.finish(args.json)


def told(kind: str, requests: int, batches: int, chaos_rounds: Any) -> Any:
    """Play a round and say what became of it."""
    start_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        outcome = chaos_rounds.play(folder, kind, requests=requests, batches=batches)
    counts = ", ".join(f"{count} {what}" for what, count in sorted(outcome.counts.items()))
    print(
        f"{kind:26} {outcome.bad_calls:5} bad calls: {counts}; "
        f"{time.perf_counter() - start_s:.1f} s  {'; '.join(outcome.faults())}",
        flush=True,
    )
    return outcome


def judge(report: Report, outcomes: list[Any], chaos_rounds: Any) -> None:
    def total(what: str) -> int:
        return sum(outcome.counts[what] for outcome in outcomes)

    report.at_most("wrong or foreign answers", total("wrong"), 0, unit="")
    report.at_most("requests neither answered nor refused in time", total("late"), 0, unit="")
    report.at_most("requests and streams that failed", total("failed"), 0, unit="")
    report.at_most("threads lost", sum(o.lost_threads for o in outcomes), 0, unit="")
    longest_s = max(outcome.close_s for outcome in outcomes)
    report.at_most("the longest end of server, plan, session", longest_s, chaos_rounds.END_S, "s")
    report.at_least(
        "kinds that did misbehave, share",
        sum(o.bad_calls > 0 for o in outcomes) / len(outcomes),
        1.0,
        unit="",
    )
    report.at_least("answers that were right", total("right"), 1, unit="")


if __name__ == "__main__":
    sys.exit(main())
