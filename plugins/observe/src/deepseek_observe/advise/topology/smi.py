"""The matrix of `nvidia-smi topo -m` and `-mp`, of old and new drivers, as printed or as pasted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from deepseek_core import errors
from deepseek_observe.advise.topology.record import Gpu, Link, Nic, Node, Topology, list_cpus

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_GPU: Final = re.compile(r"GPU(\d+)")
_DEVICE: Final = re.compile(
    r"(GPU|NIC)\d+|(mlx|bnxt|irdma|efa|rdma|hfi|qedr|erdma|mana|rocep|ibp)\w*"
)
_CELL: Final = re.compile(r"X|NV\d+|PIX|PXB|PHB|NODE|SYS|SOC|PIXC2C|C2C|PSB|INT|N/A|-")
_OLD: Final = {"SOC": "SYS", "PSB": "PIX", "INT": "PIX"}
_LEGEND: Final = re.compile(r"^\s*(NIC\d+)\s*:\s*(\S+)\s*$")
_COLUMNS: Final = ("CPU Affinity", "NUMA Affinity", "GPU NUMA ID")
_WORDS: Final = ("CPU", "NUMA", "GPU", "Affinity", "ID")
_ACCESS: Final = ("OK", "NS", "CNS", "GNS", "TNS", "DR", "U")
_REMEDY: Final = "give the whole output of `nvidia-smi topo -m > topo.txt`"


def is_matrix(text: str) -> bool:
    """Whether there is a header of such a matrix in it."""
    return _header(_lines(text)) is not None


def of_text(text: str, source: str) -> Topology:
    """Read the matrix and the legend of its adapters.

    Raises:
        ArtifactError: a row is missing or cut, or has a cell that is none.
    """
    lines = _lines(text)
    place = _header(lines)
    assert place is not None
    columns = _devices(lines[place])
    rest = [word for word in lines[place].split()[len(columns) :] if word not in _WORDS]
    if rest:
        raise errors.ArtifactError(
            f"{source}: the header has {rest[0]!r}, which is not a device: it is cut, or changed",
            remedy=_REMEDY,
        )
    rows = _rows(lines[place + 1 :], columns, source)
    missing = [name for name in columns if name not in rows and name.startswith("GPU")]
    if missing:
        raise errors.ArtifactError(
            f"{source} has no row of {', '.join(missing)}: it is cut", remedy=_REMEDY
        )
    legend = {found[1]: found[2] for line in lines if (found := _LEGEND.match(line))}
    gpus = [name for name in columns if name.startswith("GPU")]
    named = _named(lines[place])
    affinity = {name: _affinity(rows[name][1], named) for name in gpus}
    return Topology(
        source=source,
        form="nvidia-smi topo",
        nodes=_nodes(affinity.values()),
        gpus=[
            Gpu(index=int(name[3:]), numa=affinity[name][1], cpus=affinity[name][0])
            for name in gpus
        ],
        nics=[
            Nic(name=name, device=legend.get(name, name if not name.startswith("NIC") else None))
            for name in columns if not name.startswith("GPU")
        ],
        links=_links(rows, gpus),
        distances={
            (row, column): _OLD.get(cell, cell)
            for row, (cells, _) in rows.items()
            for column, cell in zip(columns, cells, strict=True)
            if row != column and cell not in ("N/A", "-")
        },
        notes=() if any(cpus for cpus, _ in affinity.values()) else (
            "it does not say which processors are near: add `lscpu -J`",
        ),
    )  # fmt: skip


def _lines(text: str) -> list[str]:
    plain = _ESCAPES.sub("", text).replace("\u00a0", " ").replace("\ufeff", "")
    return [line.rstrip() for line in re.split(r"\r\n|\r|\n", plain)]


def _header(lines: Sequence[str]) -> int | None:
    for place, line in enumerate(lines):
        names = line.split()
        # A row begins with its own name and a cell; a header with names alone.
        if names and _GPU.fullmatch(names[0]) and _is_header(names, lines[place + 1 :]):
            return place
    return None


def _is_header(names: Sequence[str], below: Sequence[str]) -> bool:
    if len(names) > 1 and _CELL.fullmatch(names[1]):
        return False
    rows = [line.split() for line in below if line.strip()]
    return bool(rows) and len(rows[0]) > 1 and rows[0][0] == names[0] and (
        _CELL.fullmatch(rows[0][1]) is not None
    )  # fmt: skip


def _devices(header: str) -> list[str]:
    names: list[str] = []
    for name in re.split(r"CPU Affinity|NUMA Affinity|CPU\s|NUMA\b", header)[0].split():
        if _DEVICE.fullmatch(name) or not names or "_" in name:
            names.append(name)
        else:
            break
    return names


def _named(header: str) -> list[str]:
    places = sorted((header.find(name), name) for name in _COLUMNS if name in header)
    return [name for _, name in places]


def _rows(
    lines: Iterable[str], columns: Sequence[str], source: str
) -> dict[str, tuple[list[str], list[str]]]:
    found: dict[str, tuple[list[str], list[str]]] = {}
    for line in lines:
        words = line.split()
        if not words or words[0] not in columns or words[0] in found:
            continue
        cells = words[1 : len(columns) + 1]
        if len(cells) < len(columns):
            raise errors.ArtifactError(
                f"{source}: the row of {words[0]} has {len(cells)} of {len(columns)} cells: "
                "the output is cut, or wrapped",
                remedy=_REMEDY,
            )
        for column, cell in zip(columns, cells, strict=True):
            if cell in _ACCESS:
                raise errors.ArtifactError(
                    f"{source} is not a topology",
                    remedy="it is whether GPUs reach each other (nvidia-smi topo -p2p), not how "
                    "far apart they are; use `nvidia-smi topo -m`",
                )
            if not _CELL.fullmatch(cell) or (cell == "X") != (column == words[0]):
                raise errors.ArtifactError(
                    f"{source}: {words[0]} to {column} is {cell!r}, which is not a connection",
                    remedy=_REMEDY,
                )
        found[words[0]] = (cells, _tail(line, len(columns)))
    return found


def _tail(line: str, cells: int) -> list[str]:
    """What follows the cells, column by column; with tabs, an empty column is one."""
    if "\t" in line:
        return [word.strip() for word in line.split("\t")][cells + 1 :]
    return line.split()[cells + 1 :]


def _affinity(tail: Sequence[str], named: Sequence[str]) -> tuple[tuple[int, ...], int | None]:
    told = dict(zip(named, tail, strict=False))
    cpus, numa = (_listed(told.get(name, "")) for name in _COLUMNS[:2])
    return cpus, numa[0] if numa else None


def _listed(text: str) -> tuple[int, ...]:
    try:
        return list_cpus(text)
    except ValueError:  # N/A, or a cut list
        return ()


def _nodes(affinity: Iterable[tuple[tuple[int, ...], int | None]]) -> list[Node]:
    cpus: dict[int, set[int]] = {}
    for own, numa in affinity:
        if numa is not None:
            cpus.setdefault(numa, set()).update(own)
    return [Node(index=index, cpus=sorted(own)) for index, own in sorted(cpus.items())]


def _links(rows: Mapping[str, tuple[list[str], list[str]]], gpus: Sequence[str]) -> list[Link]:
    found = []
    for place, one in enumerate(gpus):
        for other, cell in list(zip(gpus, rows[one][0], strict=False))[place + 1 :]:
            if cell.startswith("NV"):
                found.append(Link(ends=(one, other), kind="NV", count=int(cell[2:])))
    return found
