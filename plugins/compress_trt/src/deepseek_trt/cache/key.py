"""The key of an engine: the hash of everything that another engine would come of."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Final

from deepseek_trt.backends.backend import Identity
from deepseek_trt.options import BuildOptions

_FORM: Final = re.compile(r"[0-9a-f]{64}")


def key_of(model_digest: str, library: Identity, options: BuildOptions) -> str:
    """The sha256, in hex, of model, flavor, version, GPUs, flags and profiles."""
    parts = {
        "form": 1,
        "model": model_digest,
        "flavor": library.flavor,
        "version": library.version,
        "device": library.device,
        "options": options.identity(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def is_key(text: str) -> bool:
    """Whether a text could be a key."""
    return _FORM.fullmatch(text) is not None
