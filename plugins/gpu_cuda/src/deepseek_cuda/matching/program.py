"""The kernels compiled for one GPU: by Triton, kept as cubins in the SDK's cache folder.

What is kept needs no Triton to run: the driver loads it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from deepseek_core import console, errors

Metric = Literal["l2_f32", "l2_i8", "hamming_u32", "hamming_u8"]
_CODES: Final[Mapping[Metric, tuple[int, str]]] = {
    "l2_f32": (0, "fp32"), "l2_i8": (1, "i8"), "hamming_u32": (2, "u32"), "hamming_u8": (2, "u8"),
}  # fmt: skip
TILE_QUERIES: Final = 16
TILE_ROWS: Final = 64
MERGED: Final = 256
"""Candidates that a merge looks at at once."""
_WARPS: Final = {"match_tile": 4, "match_merge": 4}
_KERNELS: Final = Path(__file__).with_name("kernel.py")


@attrs.frozen(kw_only=True)
class Kernel:
    """A compiled kernel: its code, its name in there, and how it is to be launched."""

    cubin: bytes = attrs.field(repr=False)
    name: str
    threads: int
    shared_bytes: int


@attrs.frozen(kw_only=True)
class Target:
    """A GPU as a compiler sees it, and the folder that keeps what was compiled for it."""

    device_id: str
    capability: tuple[int, int]
    folder: Path


def program(metric: Metric, k: int, target: Target) -> dict[str, Kernel]:
    """The kernels for a metric and k on a GPU, from the cache or compiled.

    Raises:
        Unsupported: they are not in the cache, and Triton is not installed.
        CompileError: Triton did not compile them.
    """
    return {name: _kernel(name, metric, k, target) for name in _WARPS}


def _kernel(name: str, metric: Metric, k: int, target: Target) -> Kernel:
    capability, device_id = target.capability, target.device_id
    facts = (name, metric, k, capability, _KERNELS.read_text(encoding="utf-8"), _triton())
    digest = sha256(repr(facts).encode()).hexdigest()[:32]
    file = target.folder / "cuda" / f"{name}-{digest}.json"
    kept = _read(file)
    if kept is not None:
        return kept
    try:
        made = compiled(name, metric, k, capability)
    except ImportError as error:
        raise errors.Unsupported(
            f"{device_id} compiles its matcher with Triton, which is not installed",
            device_id=device_id,
            remedy="pip install triton",
        ) from error
    except Exception as error:  # Triton's errors share no base class
        raise errors.CompileError(
            f"{device_id}: Triton did not compile {name} for {capability}: {error}",
            device_id=device_id,
            log=str(error),
            remedy="pip install -U triton",
        ) from error
    _write(file, made)
    return made


def compiled(name: str, metric: Metric, k: int, capability: tuple[int, int]) -> Kernel:
    """Compile one kernel; needs Triton and no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from deepseek_cuda.matching import kernel

    code, element = _CODES[metric]
    tile = {
        "queries": f"*{element}", "gallery": f"*{element}", "keys": "*i64", "num_queries": "i32",
        "num_rows": "i32", "width": "i32", "num_tiles": "i32",
    }  # fmt: skip
    merge = {"keys": "*i64", "indices": "*i64", "distances": "*i32", "num_candidates": "i32"}
    fixed = {"METRIC": code, "K": k, "BQ": TILE_QUERIES, "BN": TILE_ROWS}
    if name == "match_merge":
        fixed = {"K": k, "BM": MERGED}
    signature = (tile if name == "match_tile" else merge) | dict.fromkeys(fixed, "constexpr")
    source = ASTSource(fn=getattr(kernel, name), signature=signature, constexprs=fixed)
    architecture = GPUTarget("cuda", 10 * capability[0] + capability[1], 32)
    options = {"num_warps": _WARPS[name], "enable_fp_fusion": True}
    made = triton.compile(source, target=architecture, options=options)
    return Kernel(
        cubin=made.asm["cubin"],
        name=made.metadata.name,
        threads=32 * made.metadata.num_warps,
        shared_bytes=made.metadata.shared,
    )


def _triton() -> str:
    """The compiler's version, without importing it; empty where there is none."""
    try:
        return version("triton")
    except PackageNotFoundError:
        return ""


def _read(file: Path) -> Kernel | None:
    """A kept kernel; None where there is none, or its file is damaged or somebody else's."""
    try:
        kept: dict[str, Any] = json.loads(console.read_own(file))
        cubin = bytes.fromhex(kept["cubin"])
        if sha256(cubin).hexdigest() != kept["sha256"]:
            return None
        return Kernel(
            cubin=cubin,
            name=str(kept["name"]),
            threads=int(kept["threads"]),
            shared_bytes=int(kept["shared_bytes"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(file: Path, kernel: Kernel) -> None:
    """Keep a kernel; a folder that can't be written to costs a compilation next time."""
    from contextlib import suppress
    from os import getpid

    told = attrs.asdict(kernel) | {
        "cubin": kernel.cubin.hex(), "sha256": sha256(kernel.cubin).hexdigest(),
    }  # fmt: skip
    with suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_suffix(f".{getpid()}.partial")
        partial.write_text(json.dumps(told), encoding="utf-8")
        partial.replace(file)
