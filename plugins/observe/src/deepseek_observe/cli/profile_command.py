"""`ds-sdk profile TRACE...`: where the time went, and what could be won."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from deepseek_core import console, errors
from deepseek_observe.profile.findings import Finding
from deepseek_observe.profile.profile import DeviceProfile, Profile, changes, profile, straggler

EXAMPLES: Final = """examples:
  ds-sdk profile trace.json.gz                     of torch.profiler
  ds-sdk profile report.sqlite                     nsys export --type sqlite report.nsys-rep
  ds-sdk profile rank0.json rank1.json             ranks of one run: who is slow
  ds-sdk profile after.json --diff before.json     what a change did
  ds-sdk profile trace.json --window ProfilerStep#3
  ds-sdk profile trace.json --html page.html

What a finding could win is an upper bound: what the device would be busy less, or idle less,
without it, if nothing else moved.

exit codes: 0 done, 2 wrong arguments, or a file that is no trace"""
SUMMARY: Final = "Where the time of a run went: computing, exchanges, copies, idle, and why."
HTA: Final = "hta-0.5"
_SHOWN: Final = 8
_NAME: Final = 60  # letters of a kernel's name


def main(argv: Sequence[str]) -> int:
    """Run `ds-sdk profile` with these words and return the exit code."""
    parser = console.command_parser("profile", summary=SUMMARY, examples=EXAMPLES)
    parser.add_argument(
        "traces", nargs="+", type=Path, metavar="TRACE", help="a trace, packed or not"
    )
    parser.add_argument("--diff", type=Path, metavar="OTHER", help="compare with this one, before")
    parser.add_argument(
        "--window", metavar="RANGE", help="look at a range of the host alone, by its name"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page too")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--rules", choices=[HTA], help="figures by the rules of HolisticTraceAnalysis 0.5"
    )
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Print what the traces say.

    Raises:
        ConfigError: options that do not go together, or no such range.
        InputError: a file that is no trace.
    """
    from deepseek_observe.reading.reading import read_trace

    if args.rules is not None:
        if args.diff or args.window or args.html:
            raise errors.ConfigError(
                f"--rules {args.rules} gives its figures alone",
                remedy="leave --diff, --window and --html out",
            )
        return _by_rules(args)
    console.check_writable(None, None if args.html is None else str(args.html))
    profiles = [profile(read_trace(path), window=args.window) for path in args.traces]
    other = None
    if args.diff is not None:
        if len(profiles) > 1:
            raise errors.ConfigError("--diff compares two traces", remedy="give one TRACE with it")
        other = profile(read_trace(args.diff), window=args.window)
    slow = straggler(profiles)
    if args.html is not None:
        from deepseek_observe.profile.page import write_page

        write_page(args.html, profiles, slow, other)
    if args.json:
        console.print_json(_facts(profiles, slow, other), indent=1)
        return 0
    for one in profiles:
        _print(one)
    if slow is not None:
        _print_findings([slow])
    if other is not None:
        _print_difference(profiles[0], other)
    if args.html is not None:
        console.print_note(f"wrote {args.html}")
    return 0


def _by_rules(args: argparse.Namespace) -> int:
    from deepseek_observe.profile.hta import figures
    from deepseek_observe.reading.reading import read_trace

    found = {str(path): figures(read_trace(path)) for path in args.traces}
    console.print_json({"schema": 1, "rules": args.rules, "traces": found}, indent=1)
    return 0


def _print(one: Profile) -> None:
    rank = "" if one.rank is None else f", rank {one.rank}"
    console.print_text(f"{one.source}{rank}: bound by {one.verdict}")
    console.print_table(
        ("DEVICE", "SPAN", "COMPUTE", "EXCHANGE", "COPY", "IDLE", "EXCHANGES HIDDEN"),
        [_row(device) for device in one.devices],
    )
    for why, count in one.left_out.items():
        console.print_text(f"left out: {count:,} {why}")
    console.print_lines()
    _print_findings(one.findings[:_SHOWN])
    more = len(one.findings) - _SHOWN
    if more > 0:
        console.print_text(f"{more} smaller findings: --json")
    console.print_table(
        ("TOP OF " + one.devices[0].name.upper(), "KIND", "COUNT", "TOTAL"),
        [
            (work.name[:_NAME], work.kind, f"{work.count:,}", _time(work.total_ns))
            for work in one.devices[0].top[:_SHOWN]
        ],
    )


def _row(device: DeviceProfile) -> tuple[str, ...]:
    shares = device.shares
    parts = (
        shares.compute_ns, shares.exposed_communication_ns, shares.exposed_copy_ns, shares.idle_ns
    )  # fmt: skip
    hidden = "-" if shares.overlap is None else f"{shares.overlap:.0%}"
    told = [f"{part / shares.span_ns:.1%}" if shares.span_ns else "-" for part in parts]
    return (device.name, _time(shares.span_ns), *told, hidden)


def _print_findings(findings: Sequence[Finding]) -> None:
    if not findings:
        console.print_text("no finding: nothing that could win .5 % of the time")
    for number, one in enumerate(findings, 1):
        console.print_text(
            f"{number}. up to {_time(one.recoverable_ns)} ({one.share:.1%}): {one.title} "
            f"[{one.kind}, confidence {one.confidence.value}]"
        )
        for line in one.evidence:
            console.print_text(f"   {line}")
        console.print_text(f"   -> {one.remedy}")
    console.print_lines()


def _print_difference(now: Profile, before: Profile) -> None:
    console.print_text(f"{before.source} -> {now.source}, per device in the order of both")
    rows = [
        (device, part, _time(was), _time(is_), f"{is_ / was - 1:+.1%}" if was else "-")
        for device, part, was, is_ in changes(now, before)
    ]
    console.print_table(("DEVICE", "PART", "BEFORE", "NOW", "CHANGE"), rows)


def _facts(
    profiles: Sequence[Profile], slow: Finding | None, other: Profile | None
) -> dict[str, Any]:
    return {
        "schema": 1,
        "recoverable": "an upper bound, by a counterfactual on each device's own time line",
        "traces": [_of_profile(one) for one in profiles],
        "straggler": None if slow is None else _of_finding(slow),
        "before": None if other is None else _of_profile(other),
    }


def _of_profile(one: Profile) -> dict[str, Any]:
    return {
        "source": one.source,
        "rank": one.rank,
        "verdict": one.verdict,
        "devices": [_of_device(device) for device in one.devices],
        "findings": [_of_finding(finding) for finding in one.findings],
        "left_out": dict(one.left_out),
        "facts": {name: _plain(value) for name, value in one.facts.items()},
    }


def _of_device(device: DeviceProfile) -> dict[str, Any]:
    found = attrs.asdict(attrs.evolve(device, idle={}))
    found["idle"] = {cause.value: total for cause, total in device.idle.items()}
    return found


def _of_finding(one: Finding) -> dict[str, Any]:
    return {**attrs.asdict(one), "confidence": one.confidence.value}


def _plain(value: Any) -> Any:
    return {str(key): name for key, name in value.items()} if isinstance(value, Mapping) else value


def _time(nanoseconds: int) -> str:
    return console.format_seconds(nanoseconds / 1e9)
