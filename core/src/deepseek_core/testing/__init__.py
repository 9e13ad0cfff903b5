"""Conformance kit for plugins: inherit a class, name your plugin, get all promises tested.

    from deepseek_core.testing import DeviceCase, DeviceConformance

    class TestNpu(DeviceConformance):
        plugin = "acme_npu"
        device_id = "npu:0"

        def cases(self):
            return [DeviceCase(stage=..., inputs=..., expected=...)]

Needs pytest and numpy; nothing else of the SDK imports it.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("deepseek_core.testing.device")

from deepseek_core.testing.device import DeviceCase, DeviceConformance  # noqa: E402

__all__ = ["DeviceCase", "DeviceConformance"]
