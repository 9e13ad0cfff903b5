"""Runs every model of the corpus on a device, and holds its answers against the CPU provider's.

python tests/corpus/beside.py deepseek_openvino.hooks:open_device openvino:cpu \\
    [--real | --small] [--json out/beside.json]

A model agrees, is refused in words, or differs. Floats agree within `RELATIVE` of themselves, or
`OF_LARGEST` of the largest of their output, since other kernels sum in another order, or `STEP`,
since the CPU provider's sigmoid alone is off by 1.5e-7. Of models that quantize what they compute,
floats agree within `OF_LARGEST_QUANTIZED`: ONNX Runtime itself differs by 4e-3 between its levels
of optimization on one of them (smart-turn). All else is equal bit by bit.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import attrs
import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

from corpus_kit.case import Case
from corpus_kit.compare import difference
from corpus_kit.reference import Reference
from real_models import manifest
from real_models.packages import Missing
from small_models import CASES as SMALL

from deepseek_core import Artifact, Device, LatencyClass, LoadOptions, OpenOptions, errors
from deepseek_onnx.frontend import whole_model_stage

RELATIVE: Final = 1e-3
OF_LARGEST: Final = 1e-4
STEP: Final = 2.4e-7  # two of float32's at 1
OF_LARGEST_QUANTIZED: Final = 1e-2
_ITEMS: Final = (1, 3)
_TOLD: Final = 160


@attrs.frozen(kw_only=True)
class Outcome:
    """What became of a model: `agrees`, `refused`, `differs` or `missing`, and why."""

    model: str
    what: str
    why: str = ""
    largest: float = 0.0


def beside(case: Case, folder: Path, device: Device) -> Outcome:
    """Run a model on a device and in ONNX Runtime alone."""
    try:
        path = case.place(folder)
    except Missing as missing:
        return Outcome(model=case.name, what="missing", why=str(missing))
    try:
        stage = whole_model_stage(Artifact.from_path(path))
        support = device.supports_stage(stage, LatencyClass.OFFLINE)
        if not support:
            return Outcome(model=case.name, what="refused", why=support.reason[:_TOLD])
        executable = device.load(stage, LoadOptions())
    except errors.DeepSeekError as error:
        return Outcome(model=case.name, what="refused", why=error.message[:_TOLD])
    try:
        share = OF_LARGEST_QUANTIZED if "QuantizeLinear" in stage.operators else OF_LARGEST
        return _compared(case, Reference(case, path), executable, share)
    finally:
        executable.close()


def _compared(case: Case, reference: Reference, executable: Any, share: float) -> Outcome:
    largest, refused = 0.0, ""
    for seed, items in enumerate(_ITEMS):
        inputs = case.inputs(seed, items)
        expected = reference.run(inputs)
        try:
            found = executable.run(inputs)
        except errors.DeviceError as error:
            refused = error.message[:_TOLD]
            continue
        for name, value in expected.items():
            problem = far(value, found[name], share)
            if problem:
                return Outcome(model=case.name, what="differs", why=f"{name!r}: {problem}")
            largest = max(largest, relative(value, found[name]))
    if refused:
        return Outcome(model=case.name, what="refused", why=refused)
    return Outcome(model=case.name, what="agrees", largest=largest)


def far(expected: Any, found: Any, share: float) -> str | None:
    """What is off by more than a share of the largest; None if all is near enough."""
    if not isinstance(expected, np.ndarray) or expected.dtype.kind != "f":
        return difference(expected, found)
    if not isinstance(found, np.ndarray) or (found.dtype, found.shape) != (
        expected.dtype, expected.shape,
    ):  # fmt: skip
        return difference(expected, found)
    bound = max(share * _largest(expected), STEP)
    near = np.isclose(found, expected, RELATIVE, bound, equal_nan=True)
    if near.all():
        return None
    at = tuple(int(i) for i in np.argwhere(~near)[0])
    return f"{expected[at]!r} expected, {found[at]!r} found; {int((~near).sum())} of {near.size}"


def relative(expected: Any, found: Any) -> float:
    """The largest difference, as a share of the largest value, or of where `STEP` takes over."""
    if not isinstance(expected, np.ndarray) or expected.dtype.kind != "f" or not expected.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        off = np.abs(expected.astype(np.float64) - found)
    return float(np.nanmax(off, initial=0.0)) / max(_largest(expected), STEP / OF_LARGEST)


def _largest(array: Any) -> float:
    return float(np.nanmax(np.abs(array), initial=0.0, where=np.isfinite(array)))


def outcomes(cases: Sequence[Case], device: Device) -> Iterator[Outcome]:
    """One a case, in their order."""
    for case in cases:
        with tempfile.TemporaryDirectory() as folder:
            yield beside(case, Path(folder), device)


def main() -> int:
    """Print a line a model and the counts; 1 if one differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("factory", help="the factory of its record, `package.module:function`")
    parser.add_argument("device", help="its id, as `ds-sdk devices` shows it")
    parser.add_argument("--real", action="store_true", help="only models of packages")
    parser.add_argument("--small", action="store_true", help="only small models of our own")
    parser.add_argument("--any-cpu", action="store_true", help="OpenVINO on other makes, too")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    if args.any_cpu:
        on_any_cpu()
    small = [] if args.real else [case for case in SMALL if not case.random]
    real = [] if args.small else list(manifest.CASES)
    found = []
    with opened(args.factory, args.device) as device:
        for outcome in outcomes([*small, *real], device):
            found.append(outcome)
            far_off = f"{outcome.largest:.1e}" if outcome.what == "agrees" else outcome.why
            print(f"{outcome.what:8} {outcome.model:44} {far_off}", flush=True)
    counts = collections.Counter(outcome.what for outcome in found)
    print(", ".join(f"{count} {what}" for what, count in sorted(counts.items())))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps([attrs.asdict(o) for o in found], indent=1) + "\n")
    return 1 if counts["differs"] else 0


def on_any_cpu() -> None:
    """Let OpenVINO's provider, which looks at the make of the processor, run on this one."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "deepseek_openvino"))
    import any_cpu

    if any_cpu.is_needed():
        sys.path.insert(0, str(any_cpu.make(Path(tempfile.mkdtemp(prefix="any-cpu-")))))


@contextlib.contextmanager
def opened(factory: str, device_id: str) -> Iterator[Device]:
    """A device as a session opens it."""
    module, _, name = factory.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        options = OpenOptions(threads=1, cache_dir=Path(folder))
        device: Device = getattr(import_module(module), name)(device_id, options)
        yield device
        device.close()


if __name__ == "__main__":
    sys.exit(main())
