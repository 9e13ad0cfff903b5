"""Finds the reports in a folder, reads each by its name, and says what they prove."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from deepseek_core import errors
from deepseek_fpga.proof.reports import aoc, vitis
from deepseek_fpga.proof.reports.facts import Facts, damaged
from deepseek_fpga.proof.rung import Figure, RungResult, judged, not_run

_LARGEST_BYTES: Final = 64 << 20
_MOST_FILES: Final = 64

# Pattern of the name -> its parser.
_PARSERS: Final[tuple[tuple[str, Callable[[str, str], Facts]], ...]] = (
    ("acl_quartus_report.txt", aoc.parse_fitter),
    ("report_data.js", aoc.parse_compiler),
    ("summary.ndjson", aoc.parse_compiler),
    ("summary.json", aoc.parse_compiler),
    ("*_csynth.xml", vitis.parse_csynth),
    ("csynth.xml", vitis.parse_csynth),
    ("system_estimate*.xtxt", vitis.parse_system_estimate),
    ("*.xclbin.info", vitis.parse_binary_info),
)
KNOWN: Final = ", ".join(pattern for pattern, _ in _PARSERS)


def check_reports(kernel: str, place: Path | None) -> RungResult:
    """What the reports in a folder, or one file, say of a kernel.

    Raises:
        ArtifactError: there is none, or one can't be read.
    """
    if place is None:
        return not_run(
            "E5", kernel, "no report was given", "ds-sdk fpga report --kernel NAME --reports FOLDER"
        )
    found = read_reports(place)
    several = {tool for tool, count in Counter(facts.tool for facts in found).items() if count > 1}
    figures = tuple(
        figure for facts in found for figure in _figures(facts, named=facts.tool in several)
    )
    faults = [fault for facts in found for fault in _faults(facts)]
    return judged("E5", kernel, "; ".join(faults), figures, "a lower clock, or a smaller array")


def read_reports(place: Path) -> list[Facts]:
    """The facts of every report in a folder and below, in order of their names.

    Raises:
        ArtifactError: there is none, or too many for one kernel, or one can't be read.
    """
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if _is_read(p))
    if not files:
        raise errors.ArtifactError(
            f"{place} has no report of aoc or Vitis", remedy=f"known names: {KNOWN}"
        )
    if len(files) > _MOST_FILES:
        raise errors.ArtifactError(
            f"{place} has {len(files)} reports, more than one kernel has ({_MOST_FILES})",
            remedy=f"name the folder of the kernel, such as {files[0].parent}",
        )
    return [_read(file) for file in files]


def _is_read(file: Path) -> bool:
    """Whether it is a report, and no other one in its folder says the same or more.

    `csynth.xml` is the whole design, whose modules lie beside it; aoc writes what is in
    `report_data.js` a second time, table by table.
    """
    if _parser(file) is None or not file.is_file():
        return False
    if file.match("*_csynth.xml"):
        return not file.with_name("csynth.xml").is_file()
    return file.name != "summary.json" or not (file.parent.parent / "report_data.js").is_file()


def _parser(file: Path) -> Callable[[str, str], Facts] | None:
    return next((parse for pattern, parse in _PARSERS if file.match(pattern)), None)


def _read(file: Path) -> Facts:
    parse = _parser(file)
    if parse is None:
        raise errors.ArtifactError(
            f"{file} has not the name of a report", remedy=f"known names: {KNOWN}"
        )
    try:
        if file.stat().st_size > _LARGEST_BYTES:
            raise damaged(str(file), f"it has more than {_LARGEST_BYTES >> 20} MiB")
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise damaged(str(file), str(error.strerror)) from error
    facts = parse(text, str(file))
    if facts.says_nothing:
        raise damaged(str(file), "it has no figure that is known")
    return facts


def _figures(facts: Facts, *, named: bool) -> Iterator[Figure]:
    basis = f"{'vendor report' if facts.fitted else 'vendor estimate'}, {facts.tool}"
    basis += f", {facts.source}" if named else ""
    rows = [("clock", facts.clock_mhz, "MHz"), ("interval", facts.interval, "cycles")]
    rows += [(name, value, "") for name, value in facts.used.items()]
    for name, value, unit in rows:
        if value is not None:
            yield Figure(name=name, value=value, unit=unit, basis=basis)


def _faults(facts: Facts) -> Iterator[str]:
    name = Path(facts.source).name
    if facts.clock_mhz and facts.target_mhz and facts.clock_mhz < facts.target_mhz:
        yield f"{name}: {facts.clock_mhz:.1f} MHz, and {facts.target_mhz:.1f} MHz was asked for"
    for cell, value in facts.used.items():
        if value > facts.available.get(cell, value):
            yield f"{name}: {cell} {value:.0f} of {facts.available[cell]:.0f}"
