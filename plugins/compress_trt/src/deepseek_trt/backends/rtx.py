"""TensorRT-RTX: parses and builds without a GPU or driver, for the GPUs that are named.

Its engines are finished on the GPU where they run. No timing cache: it would look for a GPU, and
has no effect.
"""

from __future__ import annotations

from typing import Any, Final

from deepseek_trt.backends.backend import Built, Identity, Parsed, Sink
from deepseek_trt.backends.library import Library
from deepseek_trt.errors import BuildFailed
from deepseek_trt.options import BuildOptions
from deepseek_trt.target import TARGETS

NAME: Final = "tensorrt_rtx"


class RtxBackend:
    """TensorRT-RTX on any machine."""

    def __init__(self, module: Any, version: str) -> None:
        known = module.ComputeCapability.__members__
        targets = tuple(t for t in TARGETS if _member(t) in known)
        self.identity = Identity(flavor=NAME, version=version, targets=targets)
        self._library = Library(module, NAME)

    def parse(self, model: bytes, sink: Sink) -> Parsed:
        """Ask the parser about a model."""
        return self._library.parse(model, sink)

    def build(self, model: bytes, options: BuildOptions, sink: Sink) -> Built:
        """Build one engine for all targets."""

        def configure(config: Any) -> None:
            config.num_compute_capabilities = len(options.targets)
            for index, target in enumerate(options.targets):
                self._set_target(config, target, index)

        return self._library.build(model, options, sink, configure)

    def _set_target(self, config: Any, target: str, index: int) -> None:
        chosen = getattr(self._library.module.ComputeCapability, _member(target))
        if not config.set_compute_capability(chosen, index):
            what = f"{NAME} refuses compute capability {target}"
            raise BuildFailed(
                what, device_id=NAME, remedy=f"use {', '.join(self.identity.targets)}"
            )


def _member(target: str) -> str:
    return "SM" + target.replace(".", "")
