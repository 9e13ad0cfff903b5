"""Models and calls that ONNX Runtime refuses: the SDK must do so, too, and with its reason."""

from __future__ import annotations

from typing import Final

from small_models import refused_calls, refused_files, refused_models

_PARTS: Final = (refused_files, refused_models, refused_calls)
CASES: Final = tuple(case for part in _PARTS for case in part.refusals.all())
