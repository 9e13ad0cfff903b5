"""Full TensorRT: builds on the GPU that the engine is for, and times its kernels there."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any, Final

from deepseek_core import console, errors
from deepseek_trt.backends.backend import Built, Identity, Parsed, Sink
from deepseek_trt.backends.library import Library
from deepseek_trt.gpu import Gpu
from deepseek_trt.options import BuildOptions
from deepseek_trt.private_files import make_private, write_whole

NAME: Final = "tensorrt"


class FullBackend:
    """Full TensorRT on this machine's GPU; `timings` is a folder for its timing caches."""

    def __init__(self, module: Any, version: str, gpu: Gpu, timings: Path | None) -> None:
        self.identity = Identity(
            flavor=NAME, version=version, targets=(gpu.target,), device=gpu.name
        )
        self._library = Library(module, NAME)
        self._timings = None if timings is None else timings / timing_name(gpu, version)

    def parse(self, model: bytes, sink: Sink) -> Parsed:
        """Ask the parser about a model."""
        return self._library.parse(model, sink)

    def build(self, model: bytes, options: BuildOptions, sink: Sink) -> Built:
        """Build an engine for this machine's GPU, with the kernel timings of earlier builds."""
        kept: list[tuple[Any, Any]] = []

        def configure(config: Any) -> None:
            # What is remembered may be of another driver after all; an empty one is taken.
            for content in dict.fromkeys((self._remembered(), b"")):
                cache = config.create_timing_cache(content)
                if _is_taken(config, cache):
                    kept.append((config, cache))
                    return

        built = self._library.build(model, options, sink, configure)
        for config, _cache in kept:
            self._remember(config)
        return built

    def _remembered(self) -> bytes:
        if self._timings is None or not self._timings.is_file():
            return b""
        with contextlib.suppress(OSError):
            return console.read_own(self._timings)
        return b""

    def _remember(self, config: Any) -> None:
        if self._timings is None:
            return
        with contextlib.suppress(errors.WriteError):  # it only saves time
            make_private(self._timings.parent)
            temporary = self._timings.with_suffix(f".{os.getpid()}.part")
            write_whole(self._timings, bytes(config.get_timing_cache().serialize()), temporary)


def _is_taken(config: Any, cache: Any) -> bool:
    try:
        return cache is not None and bool(config.set_timing_cache(cache, ignore_mismatch=False))
    except (RuntimeError, SystemError):
        return False


def timing_name(gpu: Gpu, version: str) -> str:
    """A file for each device, compute capability, version and driver: timings hold nowhere else."""
    parts = (gpu.name, gpu.target, version, gpu.driver)
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32] + ".timings"
