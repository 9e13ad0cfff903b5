"""Names of files and networks, for what must not load torch."""

from typing import Final

MODEL: Final = "trimodal.onnx"
ABOUT: Final = "trimodal.json"
JOINED: Final = "joined"
BASELINE: Final = "late"
"""The two networks of a training."""
