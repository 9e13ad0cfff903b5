"""An engine as a build returns it."""

from __future__ import annotations

import attrs

from deepseek_trt.manifest import Manifest


@attrs.frozen(kw_only=True)
class Engine:
    """An engine with its manifest.

    `from_cache`: no builder was called. `notes` say what went otherwise than it should have, such
    as an engine that could not be kept; `log` has the library's errors and warnings.
    """

    manifest: Manifest
    content: bytes = attrs.field(repr=False)
    from_cache: bool
    notes: tuple[str, ...] = ()
    log: str = attrs.field(default="", repr=False)
