"""OpenVINO keeps every promise of a device."""

import pytest

pytest.importorskip("deepseek_openvino", reason="make providers")

from deepseek_openvino.conformance import TestOpenVino

__all__ = ["TestOpenVino"]
