"""Reports of Intel's `aoc`: of the fitter (text) and of the compiler (JSON in `report_data.js`).

Written after files that are public: `acl_quartus_report.txt` as its own script prints it, and the
JSON of `reports/lib` with its tables `estimatedResources` and `loops`, of aoc 17 to oneAPI 2021.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from deepseek_fpga.proof.reports.facts import Facts, damaged, number

_CELLS: Final = (
    "ALUTs",
    "Registers",
    "Logic utilization",
    "DSP blocks",
    "RAM blocks",
    "M10K blocks",
)
_VARIABLE: Final = re.compile(r"^var\s+(\w+)\s*=\s*", re.MULTILINE)
# What has the figures; the rest is source text and pictures.
_OF_FIGURES: Final = frozenset({"summaryJSON", "loopsJSON"})
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_DEEPEST: Final = 200


def parse_fitter(text: str, source: str) -> Facts:
    """`acl_quartus_report.txt`: what the fitter used, and the clock that it reached.

    Raises:
        ArtifactError: none of its lines is there.
    """
    lines = (line.partition(":") for line in text.splitlines())
    rows = {name.strip(): value.strip() for name, colon, value in lines if colon}
    used = {name: number(rows[name]) for name in _CELLS if name in rows}
    totals = {name: _total(rows[name]) for name in used}
    facts = Facts(
        source=source,
        tool="aoc, fitted",
        fitted=True,
        clock_mhz=number(rows.get("Kernel fmax")),
        used={name: value for name, value in used.items() if value is not None},
        available={name: value for name, value in totals.items() if value is not None},
    )
    if facts.says_nothing:
        raise damaged(source, "it has neither `Kernel fmax` nor resources")
    return facts


def _total(value: str) -> float | None:
    """What stands behind the slash of `190,304 / 427,200 ( 45 % )`."""
    _, slash, rest = value.partition("/")
    return number(rest) if slash else None


def parse_compiler(text: str, source: str) -> Facts:
    """`report_data.js`: variables with JSON; or one JSON object a line (`.ndjson`), or one object.

    Raises:
        ArtifactError: it is not JSON, or has neither resources nor loops.
    """
    tables = [table for value in _values(text, source) for table in _objects(value, source)]
    used: dict[str, float] = {}
    available: dict[str, float] = {}
    columns: list[str] = []
    intervals: list[float] = []
    for table in tables:
        if "columns" in table and _is_of_resources(table["columns"]):
            columns = [str(name).strip() for name in table["columns"]][1:]
        data = table.get("data")
        if isinstance(data, list) and str(table.get("name", "")).startswith("Total"):
            used = used or _cells(columns, data)
        elif isinstance(data, list) and table.get("name") == "Available":
            available = available or _cells(columns, data)
        intervals += _interval(data)
    facts = Facts(
        source=source,
        tool="aoc, compiled",
        interval=max(intervals, default=None),
        used=used,
        # It has no number of MLABs in a part, and writes 0.
        available={name: value for name, value in available.items() if value},
    )
    if facts.says_nothing:
        raise damaged(source, "it has neither estimated resources nor loops")
    return facts


def _values(text: str, source: str) -> Iterator[Any]:
    """The values of `var NAME = LITERAL;`, or of lines of JSON."""
    decoder = json.JSONDecoder(strict=False)
    _, *parts = _VARIABLE.split(text)
    literals = dict(zip(parts[::2], parts[1::2], strict=True))
    try:
        if literals:
            for name in sorted(literals.keys() & _OF_FIGURES) or literals:
                yield decoder.raw_decode(_as_json(literals[name]))[0]
        elif source.endswith(".ndjson"):
            for line in filter(str.strip, text.splitlines()):
                yield decoder.decode(line)
        else:
            yield decoder.decode(text)
    except (ValueError, RecursionError) as error:
        raise damaged(source, f"its JSON ends early or is wrong ({error})") from error


def _as_json(literal: str) -> str:
    """A literal of JavaScript as JSON: aoc to 18 writes JSON in quotes, later versions objects."""
    if literal.startswith("'"):
        return _ESCAPE.sub(lambda found: _CONTROLS.get(found[1], found[1]), literal[1:])
    return _ESCAPE.sub(lambda found: "'" if found[1] == "'" else found[0], literal)


def _objects(value: Any, source: str, depth: int = 0) -> Iterator[Mapping[str, Any]]:
    """Every object in a value, from the outside in, in order."""
    if depth > _DEEPEST:
        raise damaged(source, "its JSON is nested too deeply")
    if isinstance(value, dict):
        yield value
        children: Any = value.values()
    else:
        children = value if isinstance(value, list) else ()
    for child in children:
        yield from _objects(child, source, depth + 1)


def _is_of_resources(columns: Any) -> bool:
    return isinstance(columns, list) and any("ALUT" in str(name) for name in columns)


def _cells(columns: list[str], data: list[Any]) -> dict[str, float]:
    counts = {name: number(value) for name, value in zip(columns, data, strict=False)}
    return {name: value for name, value in counts.items() if value is not None and name}


def _interval(data: Any) -> list[float]:
    """The II of a row of the loops' table: `["Yes", "~1", ...]` of a pipelined loop."""
    if not (isinstance(data, list) and len(data) >= 2 and data[0] == "Yes"):
        return []
    found = number(str(data[1]))
    return [] if found is None else [found]
