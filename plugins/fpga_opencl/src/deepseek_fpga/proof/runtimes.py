"""E0, E1 and E6: the OpenCL kernel on runtimes, on an emulator with channels, on a board.

Each is matched against exact numpy in a process of its own, within a limit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from attrs import frozen

from deepseek_fpga.platforms import DeviceRecord, list_devices
from deepseek_fpga.pocl_target import is_unknown_cpu
from deepseek_fpga.process import ToolFailed, run_tool
from deepseek_fpga.proof.kept import Kept, key_of
from deepseek_fpga.proof.rung import Figure, RungResult, judged, not_run
from deepseek_fpga.variants import Form, Metric, kernel_source

_WANTED_RUNTIMES: Final = 2
EMULATOR_REMEDY: Final = (
    "pip install intel-opencl-rt==2023.2.4 intel-cmplr-lib-rt==2023.2.4, and a file emulator.icd "
    "that names its libintelocl_emu.so in the folder of OCL_ICD_VENDORS"
)


@frozen(kw_only=True)
class Bench:
    """Where and how long kernels are tried."""

    kept: Kept
    limit_s: float
    patch_pocl: bool = True
    binary: Path | None = None
    """The vendor's compiled kernel, for boards."""


def check_runtimes(kernel: Metric, bench: Bench) -> RungResult:
    """E0: both wrappers of the kernel on every runtime that is not an emulator and no board."""
    found = [r for r in _usable(bench) if r.evidence != "emulator" and not r.is_board]
    figures, faults = _tried(kernel, found, ("ndrange", "single"), bench)
    runtimes = {(record.platform, record.platform_version) for record in found}
    if faults:
        return judged("E0", kernel, "; ".join(faults), figures, "ds-sdk doctor")
    if len(runtimes) < _WANTED_RUNTIMES:
        here = ", ".join(record.id for record in found) or "none"
        return not_run(
            "E0",
            kernel,
            f"two OpenCL runtimes are needed, and here is {here}",
            "apt-get install pocl-opencl-icd (a second one beside the PoCL wheel)",
            figures,
        )
    return judged("E0", kernel, "", figures)


def check_emulator(kernel: Metric, bench: Bench) -> RungResult:
    """E1: the kernel as three that channels join, on a vendor's emulator."""
    found = [
        record
        for record in list_devices().devices
        if record.evidence == "emulator" and "cl_intel_channels" in record.extensions
    ]
    if not found:
        return not_run("E1", kernel, "no FPGA emulator with channels is visible", EMULATOR_REMEDY)
    figures, faults = _tried(kernel, found, ("channels", "single"), bench)
    return judged("E1", kernel, "; ".join(faults), figures, "ds-sdk doctor")


def check_board(kernel: Metric, bench: Bench) -> RungResult:
    """E6: the vendor's binary on a board."""
    found = [record for record in list_devices().devices if record.is_board]
    if not found:
        return not_run("E6", kernel, "no board is visible", "ds-sdk devices shows what is")
    if bench.binary is None:
        return not_run(
            "E6",
            kernel,
            f"{found[0].id} has no binary of the kernel",
            "ds-sdk fpga build --target aoc (or vpp), and DEEPSEEK_FPGA_BINARY=FILE",
        )
    channels = "cl_intel_channels" in found[0].extensions
    figures, faults = _tried(kernel, found[:1], ("channels" if channels else "single",), bench)
    return judged("E6", kernel, "; ".join(faults), figures, "see `ds-sdk doctor`")


def _usable(bench: Bench) -> list[DeviceRecord]:
    """All devices, less PoCL where it builds nothing as the settings are."""
    return [
        record
        for record in list_devices().devices
        if bench.patch_pocl or not is_unknown_cpu(record.platform_version, record.device_version)
    ]


def _tried(
    kernel: Metric, records: Iterable[DeviceRecord], forms: Iterable[Form], bench: Bench
) -> tuple[tuple[Figure, ...], list[str]]:
    figures, faults = [], []
    pairs = [(record, form) for record in records for form in forms]
    for record, form in pairs:
        try:
            facts = _facts(kernel, record, form, bench)
        except ToolFailed as error:
            faults.append(f"{record.id}, {form}: {error.message}")
            continue
        wrong, queries = facts["mismatches"], facts["queries"]
        figures.append(
            Figure(
                name=f"mismatches {form}",
                value=wrong,
                unit=f"of {queries} lists",
                basis=f"{record.evidence}, {record.id}, {record.driver_version}",
            )
        )
        if wrong:
            faults.append(f"{record.id}, {form}: {wrong} of {queries} lists are wrong")
    return tuple(figures), faults


def _facts(kernel: Metric, record: DeviceRecord, form: Form, bench: Bench) -> dict[str, Any]:
    """What the child told, or what it told before of the same kernel and driver."""
    binary = bench.binary if record.is_board else None
    source = binary.read_bytes().hex() if binary and binary.is_file() else kernel_source()
    key = key_of("match", kernel, form, record.fingerprint, bench.patch_pocl, source)
    known = bench.kept.facts(key)
    if known is not None:
        return known
    request = {
        "device": record.id,
        "metric": kernel,
        "form": form,
        "cache": str(bench.kept.folder),
        "patch": bench.patch_pocl,
        "binary": str(binary) if binary else None,
    }
    command = [sys.executable, "-m", "deepseek_fpga.proof.match_child", json.dumps(request)]
    said = run_tool(command, limit_s=bench.limit_s)
    try:
        facts = json.loads(said.strip().splitlines()[-1])
        told = {"mismatches": int(facts["mismatches"]), "queries": int(facts["queries"])}
    except (ValueError, KeyError, TypeError, IndexError) as error:
        raise ToolFailed(
            f"the driver's process gave no answer: {said[-200:]!r}",
            log=said,
            remedy="ds-sdk doctor",
        ) from error
    bench.kept.keep(key, told)
    return told
