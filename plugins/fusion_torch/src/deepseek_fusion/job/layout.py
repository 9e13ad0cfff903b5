"""Names of the exported files, for what must not load torch."""

from typing import Final

MODEL: Final = "trimodal.onnx"
ABOUT: Final = "trimodal.json"
