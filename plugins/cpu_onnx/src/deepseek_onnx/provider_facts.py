"""What is told of a vendor's provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import attrs
from numpy.typing import NDArray

from deepseek_core import Operation

MakeOptions = Callable[[int, int], Mapping[str, str]]
"""(runs at once, host threads of each) -> options of the provider, as text."""


def _no_options(runs: int, threads: int) -> Mapping[str, str]:
    return {}


@attrs.frozen(kw_only=True)
class ProviderFacts:
    """A provider of ONNX Runtime, in a library of its own or in a build of ONNX Runtime.

    `id` and `kind` are those of the device; `name` is the provider's. `library` is a module that
    tells the library to load (`get_library_path()`); without it the build must have the provider.
    Of several devices that a library offers, the first is taken whose metadata has all of `device`.
    `options` are handed to the provider with each session. `uses_host_cores` says that it computes
    on the host's own cores. `evidence` says what a figure measured on it means. `remedy` is what
    to do where it is not there.
    `refusal` says why an operation is not given to it although it would take it, say because it
    computes it otherwise than ONNX has it; `input_refusal` the same of an array of a run.
    """

    id: str
    kind: str
    name: str
    library: str | None = None
    device: Mapping[str, str] = attrs.field(factory=dict)
    options: MakeOptions = _no_options
    uses_host_cores: bool = False
    evidence: Literal["hardware", "cpu-runtime", "emulator", "model"] = "hardware"
    remedy: str
    refusal: Callable[[Operation], str | None] | None = None
    input_refusal: Callable[[NDArray[Any]], str | None] | None = None
