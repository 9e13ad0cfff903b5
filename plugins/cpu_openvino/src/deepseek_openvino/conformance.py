"""Conformance tests of this plugin: `ds-sdk check-plugin cpu_openvino` runs them."""

from __future__ import annotations

from deepseek_onnx.provider_conformance import ProviderConformance


class TestOpenVino(ProviderConformance):
    """OpenVINO on the CPU."""

    plugin = "cpu_openvino"
    name = "openvino_cpu"
    device_id = "openvino:cpu"
