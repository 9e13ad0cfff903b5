"""Files of a topology are known by what is in them, not by their names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

from deepseek_core import errors
from deepseek_observe.advise.topology import hwloc_xml, lscpu, nccl_xml, smi
from deepseek_observe.advise.topology.record import Topology

_MOST_NBYTES: Final = 16 << 20
_KINDS: Final = (
    "`nvidia-smi topo -m`, NCCL's or RCCL's NCCL_TOPO_DUMP_FILE, `lstopo --of xml FILE`, or "
    "`lscpu -J`"
)
_OTHER_ROOTS: Final = {
    "graphs": "the rings and trees that NCCL has chosen (NCCL_GRAPH_DUMP_FILE), not a topology; "
    "dump that with NCCL_TOPO_DUMP_FILE=topo.xml",
    "nvidia_smi_log": "the state of GPUs (nvidia-smi -q -x), not how they are connected; "
    "use `nvidia-smi topo -m`",
    "node": "a list of hardware (lshw -xml), without distances; use `lstopo --of xml FILE`",
    "domain": "a virtual machine of libvirt; run `lstopo --of xml FILE` inside it",
}
_OTHER_TEXTS: Final = (
    (r"^=+ ROCm System Management Interface|Weight between two GPUs", "the output of rocm-smi; "
     "run the program once with NCCL_TOPO_DUMP_FILE=topo.xml and give that file"),
    (r"NCCL INFO|#\s+nThread \d+ nGpus", "a log of NCCL; give it with --nccl-log if it is of "
     "nccl-tests, or dump the topology with NCCL_TOPO_DUMP_FILE=topo.xml"),
    (r"^GPU \d+: .*UUID", "a list of GPUs (nvidia-smi -L), without distances; use "
     "`nvidia-smi topo -m`"),
    (r"^\| NVIDIA-SMI|NVIDIA-SMI \d+\.\d+", "the state of GPUs (nvidia-smi), not how they are "
     "connected; use `nvidia-smi topo -m`"),
    (r"^Machine \(.*total\)|^Machine \(\d+\w+\)", "a drawing of lstopo; use "
     "`lstopo --of xml FILE`"),
    (r"^bytes,time", "a table of times; give it with --nccl-log"),
    (r"^available: \d+ nodes", "the output of `numactl --hardware`; use `lscpu -J`"),
)  # fmt: skip


def read_topology(path: Path) -> Topology:
    """Read a file of any of the known kinds.

    Raises:
        ArtifactError: it can't be read, is too large, or something else; says what.
    """
    return parse_topology(read_text(path, _MOST_NBYTES), str(path))


def parse_topology(text: str, source: str) -> Topology:
    """Read the text of such a file.

    Raises:
        ArtifactError: as `read_topology`.
    """
    start = text.lstrip("\ufeff \t\r\n")
    if not start:
        raise refused(source, "is empty", _KINDS)
    if start.startswith("<"):
        return _of_xml(start, source)
    if start.startswith(("{", "[")):
        return lscpu.of_json(start, source)
    if smi.is_matrix(text):
        return smi.of_text(text, source)
    if lscpu.is_text(start):
        return lscpu.of_text(start, source)
    for pattern, what in _OTHER_TEXTS:
        if re.search(pattern, text, re.M):
            raise errors.ArtifactError(f"{source} is not a topology", remedy=f"it is {what}")
    raise refused(source, "is not a topology of a kind that is known here", _KINDS)


def read_text(path: Path, most_nbytes: int) -> str:
    """The text of a file, UTF-8 or UTF-16 with a mark, of a size that such files have.

    Raises:
        ArtifactError: it can't be read or decoded, or is larger.
    """
    try:
        with path.open("rb") as file:
            data = file.read(most_nbytes + 1)
    except OSError as error:
        raise errors.ArtifactError(
            f"{path} can't be read: {error.strerror or error}", remedy="give the path of a file"
        ) from error
    if len(data) > most_nbytes:
        raise errors.ArtifactError(
            f"{path} has more than {most_nbytes >> 20} MiB",
            remedy="such files are small: give the right one",
        )
    return decoded(data, str(path))


def decoded(data: bytes, source: str) -> str:
    """Text of UTF-8, or of UTF-16 with a mark, as `>` of PowerShell writes it.

    Raises:
        ArtifactError: it is neither.
    """
    code = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
    try:
        return data.decode(code)
    except UnicodeDecodeError as error:
        raise errors.ArtifactError(
            f"{source} is not text: byte {error.start} is not of {code.upper()}",
            remedy="give the text that the tool printed",
        ) from error


def refused(source: str, why: str, kinds: str) -> errors.ArtifactError:
    """The error of a file that is of no known kind."""
    return errors.ArtifactError(f"{source} {why}", remedy=f"give the output of {kinds}")


def _of_xml(text: str, source: str) -> Topology:
    # Entities can make a small file huge, and name other files; none of these formats has them.
    if "<!ENTITY" in text:
        raise refused(source, "declares XML entities", _KINDS)
    try:
        root = ElementTree.fromstring(text)  # noqa: S314  # no entity is left to expand
    except ElementTree.ParseError as error:
        raise refused(source, f"is broken XML: {error}", _KINDS) from error
    if root.tag == "system":
        return nccl_xml.of_tree(root, source)
    if root.tag == "topology":
        return hwloc_xml.of_tree(root, source)
    what = _OTHER_ROOTS.get(root.tag)
    if what is None:
        raise refused(source, f"is XML of another kind, <{root.tag[:40]}>", _KINDS)
    raise errors.ArtifactError(f"{source} is not a topology", remedy=f"it is {what}")
