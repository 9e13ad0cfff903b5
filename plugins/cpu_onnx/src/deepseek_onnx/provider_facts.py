"""What is told of a vendor's provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs

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
    on the host's own cores. `remedy` is what to do where it is not there.
    `wrong` are operators that it would take and compute wrongly, and how: they are refused.
    """

    id: str
    kind: str
    name: str
    library: str | None = None
    device: Mapping[str, str] = attrs.field(factory=dict)
    options: MakeOptions = _no_options
    uses_host_cores: bool = False
    remedy: str
    wrong: Mapping[str, str] = attrs.field(factory=dict)
