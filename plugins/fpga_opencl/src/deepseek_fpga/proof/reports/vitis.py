"""Reports of AMD's Vitis: of high-level synthesis (XML), of the system estimate and the binary.

Written after files that are public: `*_csynth.xml`, `system_estimate.xtxt` and `*.xclbin.info`, of
SDAccel 2016 to Vitis 2023.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from itertools import pairwise, takewhile
from typing import Final
from xml.etree import ElementTree

from deepseek_fpga.proof.reports.facts import Facts, damaged, number

_TARGET: Final = re.compile(r"^\s*Target Clock:\s*(\d+(?:\.\d+)?)\s*MHz", re.MULTILINE)
_FIELD: Final = re.compile(r"^\s+(Name|Type|Frequency|Requested Freq|Achieved Freq):\s*(\S+)", re.M)
_KERNEL_CLOCK: Final = "_kernel_00"
_RULE: Final = re.compile(r"-{2,}(?:\s+-{2,})+")
_AREA: Final = ("FF", "LUT", "DSP", "BRAM", "URAM")
_FIRST_VITIS: Final = 2020


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
    family = "Vivado" if (number(version) or _FIRST_VITIS) < _FIRST_VITIS else "Vitis"
    return Facts(
        source=source,
        tool=f"{family} HLS {version}",
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
    """The rows of kernels, less those of their modules, which SDAccel does not list."""
    return (row for row in rows if row.get("Module Name", row["Kernel Name"]) == row["Kernel Name"])


def _longest(interval: str) -> float | None:
    """`2068 ~ 3052` -> 3052."""
    return number(interval.rpartition("~")[2])


def _rows(text: str, title: str) -> Iterator[dict[str, str]]:
    """The rows of every table under a title; columns are where the dashes are.

    SDAccel draws tables with borders, `| cell | cell |` between lines of `+----+----+`.
    """
    lines = [line for line in text.splitlines() if not line.startswith("+-")]
    for at, line in enumerate(lines):
        if not line.startswith(title):
            continue
        head, *below = lines[at + 1 :]
        if head.startswith("|"):
            names, split = _bordered(head), _bordered
        elif below and _RULE.match(below[0]):
            split = partial(_cut, [found.start() for found in re.finditer("-{2,}", below[0])])
            names = split(head)
            del below[0]
        else:
            continue
        for row in takewhile(str.strip, below):
            yield dict(zip(names, split(row), strict=False))


def _bordered(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def _cut(starts: list[int], row: str) -> list[str]:
    return [row[start:end].strip() for start, end in pairwise([*starts, len(row)])]


def parse_binary_info(text: str, source: str) -> Facts:
    """`*.xclbin.info`: the clock that kernels were built for, or run at.

    Raises:
        ArtifactError: it names no clock.
    """
    clock = _kernel_clock(_clocks(text))
    if "xclbin Information" not in text or clock is None:
        raise damaged(source, "it has no `xclbin Information` with a clock")
    return Facts(
        source=source,
        tool="v++, linked",
        fitted=True,
        clock_mhz=number(clock.get("Achieved Freq", clock.get("Frequency"))),
        target_mhz=number(clock.get("Requested Freq")),
    )


def _clocks(text: str) -> list[dict[str, str]]:
    """Each clock's fields; those of memory and of the shell stand beside those of kernels."""
    clocks: list[dict[str, str]] = [{}]
    for field, value in _FIELD.findall(text):
        if field == "Name":
            clocks.append({})
        clocks[-1][field] = value
    return [clock for clock in clocks if {"Frequency", "Achieved Freq"} & clock.keys()]


def _kernel_clock(clocks: list[dict[str, str]]) -> dict[str, str] | None:
    """The achieved one of the first kernel clock, else that of type DATA, else the first."""

    def order(clock: dict[str, str]) -> tuple[bool, bool, bool]:
        is_kernel = clock.get("Name", "").endswith(_KERNEL_CLOCK)
        return not is_kernel, clock.get("Type") != "DATA", clock.get("Type") in ("SYSTEM", "FIXED")

    return min(clocks, key=order, default=None)
