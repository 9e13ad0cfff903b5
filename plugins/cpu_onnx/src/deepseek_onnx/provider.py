"""The public seam for plugins: a vendor's provider for ONNX Runtime becomes a device of the SDK.

A plugin describes the provider, and names two functions of its own that call `probe` and `open`.
Sessions, support by operator, inputs and outputs are those of this package. Whatever the provider
would leave to another one is refused with the reason, so that the planner places it elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from deepseek_core import Device, DeviceInfo, OpenOptions, errors
from deepseek_onnx.provider_facts import ProviderFacts


@attrs.frozen(kw_only=True)
class Provider(ProviderFacts):
    """A vendor's provider, and the one device that it becomes."""

    def probe(self) -> Iterable[DeviceInfo]:
        """The one row of this provider: available, or why not.

        Loads the library and a small model, so it belongs into the probe's own process.
        """
        from deepseek_onnx.provider_engine import row

        return [row(self)]

    def open(self, device_id: str, options: OpenOptions) -> Device:
        """Open the device.

        Raises:
            DeviceUnavailable: another id than the probe's, or the provider is not there.
            ConfigError: a setting that does not fit.
        """
        if device_id != self.id:
            raise errors.DeviceUnavailable(
                f"{self.name} has no device {device_id!r}",
                device_id=device_id,
                remedy=f"use {self.id}",
            )
        from deepseek_onnx.provider_device import ProviderDevice

        return ProviderDevice(self, options)
