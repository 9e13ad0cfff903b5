"""Reports of AMD's Vitis: of high-level synthesis (XML), of the system estimate and the binary.

Written after files that are public: `*_csynth.xml`, `system_estimate.xtxt` and `*.xclbin.info`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree

from deepseek_fpga.proof.reports.facts import Facts, damaged, number

_CLOCK: Final = re.compile(
    r"^\s*(?:Frequency|Achieved Freq):\s*(\d+(?:\.\d+)?)\s*MHz", re.MULTILINE
)
_TARGET: Final = re.compile(
    r"^\s*(?:Target Clock|Requested Freq):\s*(\d+(?:\.\d+)?)\s*MHz", re.MULTILINE
)
_RULE: Final = re.compile(r"-{2,}(?:\s+-{2,})+")
_AREA: Final = ("FF", "LUT", "DSP", "BRAM", "URAM")


def parse_csynth(text: str, source: str) -> Facts:
    """`*_csynth.xml`: periods in ns, the interval in cycles, cells by name.

    Raises:
        ArtifactError: it is not XML of that kind.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise damaged(source, "it declares entities, which no such report does")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - no entities: see above
    except ElementTree.ParseError as error:
        raise damaged(source, f"its XML ends early or is wrong ({error})") from error
    estimates, area = root.find("PerformanceEstimates"), root.find("AreaEstimates")
    if estimates is None or area is None:
        raise damaged(source, "it has no PerformanceEstimates and AreaEstimates")
    timing = estimates.findtext("SummaryOfTimingAnalysis/EstimatedClockPeriod")
    interval = estimates.findtext("SummaryOfOverallLatency/Interval-max")
    version = root.findtext("ReportVersion/Version") or "of unknown version"
    return Facts(
        source=source,
        tool=f"Vitis HLS {version}",
        clock_mhz=_mhz(number(timing)),
        target_mhz=_mhz(number(root.findtext("UserAssignments/TargetClockPeriod"))),
        interval=number(interval),
        used=_cells(area.find("Resources")),
        available=_cells(area.find("AvailableResources")),
    )


def _mhz(period_ns: float | None) -> float | None:
    return 1e3 / period_ns if period_ns else None


def _cells(table: ElementTree.Element | None) -> dict[str, float]:
    counts = {cell.tag: number(cell.text) for cell in (() if table is None else table)}
    return {name: value for name, value in counts.items() if value is not None}


def parse_system_estimate(text: str, source: str) -> Facts:
    """`system_estimate.xtxt`: the slowest module, the longest interval, cells of all units.

    A kernel's last row is that of the kernel itself: its cells include those of its modules.

    Raises:
        ArtifactError: it has no such tables.
    """
    clocks = [number(row.get("Estimated Frequency")) for row in _rows(text, "Timing Information")]
    starts = list(_rows(text, "Latency Information"))
    area = {row["Compute Unit"]: row for row in _rows(text, "Area Information")}
    if not any(clocks) and not area:
        raise damaged(source, "it has neither timing nor area tables")
    intervals = [_longest(row.get("Start Interval", "")) for row in _kernels(starts)]
    found = _TARGET.search(text)
    return Facts(
        source=source,
        tool="Vitis, system estimate",
        clock_mhz=min((clock for clock in clocks if clock), default=None),
        target_mhz=float(found[1]) if found else None,
        interval=max((value for value in intervals if value is not None), default=None),
        used={
            name: sum(number(row.get(name)) or 0.0 for row in area.values())
            for name in _AREA
            if any(name in row for row in area.values())
        },
    )


def _kernels(rows: list[dict[str, str]]) -> Iterator[dict[str, str]]:
    """The rows of kernels, less those of their modules."""
    return (row for row in rows if row.get("Module Name") == row.get("Kernel Name"))


def _longest(interval: str) -> float | None:
    """`2068 ~ 3052` -> 3052."""
    return number(interval.rpartition("~")[2])


def _rows(text: str, title: str) -> Iterator[dict[str, str]]:
    """The rows of every table under a title; columns are where the dashes are."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        if not (line.startswith(title) and len(lines) > at + 2 and _RULE.match(lines[at + 2])):
            continue
        spans = [found.span() for found in re.finditer(r"-{2,}", lines[at + 2])]
        spans = [*spans[:-1], (spans[-1][0], len(max(lines, key=len)))]
        names = [lines[at + 1][start:end].strip() for start, end in spans]
        for row in lines[at + 3 :]:
            if not row.strip():
                break
            cells = (row[start:end].strip() for start, end in spans)
            yield dict(zip(names, cells, strict=True))


def parse_binary_info(text: str, source: str) -> Facts:
    """`*.xclbin.info`: the clock that the binary was built for, or runs at.

    Raises:
        ArtifactError: it names no clock.
    """
    found = _CLOCK.search(text)
    if "xclbin Information" not in text or found is None:
        raise damaged(source, "it has no `xclbin Information` with a clock")
    target = _TARGET.search(text)
    return Facts(
        source=source,
        tool="v++, linked",
        fitted=True,
        clock_mhz=float(found[1]),
        target_mhz=float(target[1]) if target else None,
    )
