"""What `lscpu` and `lscpu -J` say: processors and NUMA nodes, no devices."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from deepseek_core import errors
from deepseek_observe.advise.topology.record import Node, Topology, list_cpus

_NODE: Final = re.compile(r"NUMA node(\d+) CPU\(s\)")
_DEEPEST: Final = 16
_REMEDY: Final = "give the output of `lscpu -J`"
_NO_DEVICES: Final = "it tells processors alone: add `nvidia-smi topo -m` or an XML topology"


def of_json(text: str, source: str) -> Topology:
    """Read `lscpu -J`.

    Raises:
        ArtifactError: it is other JSON.
    """
    try:
        told = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise errors.ArtifactError(f"{source} is broken JSON: {error}", remedy=_REMEDY) from error
    rows = told.get("lscpu") if isinstance(told, dict) else None
    if not isinstance(rows, list):
        raise errors.ArtifactError(f"{source} is JSON of another kind", remedy=_REMEDY)
    return _made(dict(_fields(rows, 0)), source, "lscpu -J")


def is_text(text: str) -> bool:
    """Whether it begins as `lscpu` without an option does, in English."""
    return re.match(r"Architecture:\s+\S", text) is not None


def of_text(text: str, source: str) -> Topology:
    """Read `lscpu`."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return _made({key.strip(): value.strip() for key, value in pairs}, source, "lscpu")


def _fields(rows: Any, depth: int) -> Iterator[tuple[str, str]]:
    for row in rows if isinstance(rows, list) and depth < _DEEPEST else ():
        if isinstance(row, dict):
            yield str(row.get("field", "")).rstrip(":"), str(row.get("data") or "")
            yield from _fields(row.get("children"), depth + 1)


def _made(told: dict[str, str], source: str, form: str) -> Topology:
    nodes = []
    try:
        for key, value in told.items():
            found = _NODE.fullmatch(key)
            if found:
                nodes.append(Node(index=int(found[1]), cpus=list_cpus(value)))
        if not nodes and "On-line CPU(s) list" in told:
            nodes.append(Node(index=0, cpus=list_cpus(told["On-line CPU(s) list"])))
    except ValueError as error:
        raise errors.ArtifactError(f"{source}: {error}", remedy=_REMEDY) from error
    if not nodes:
        raise errors.ArtifactError(f"{source} names no processors", remedy=_REMEDY)
    sockets = told.get("Socket(s)", "")
    return Topology(
        source=source,
        form=form,
        nodes=sorted(nodes, key=lambda node: node.index),
        processor=told.get("Model name") or None,
        sockets=int(sockets) if sockets.isdecimal() else None,
        complete=True,
        notes=(_NO_DEVICES,),
    )
