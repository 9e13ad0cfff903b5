"""The device of a vendor's provider."""

from __future__ import annotations

from collections.abc import Mapping

from deepseek_core import OpenOptions, errors
from deepseek_onnx.host import readings
from deepseek_onnx.provider_engine import ProviderEngine, check, described, find
from deepseek_onnx.provider_facts import ProviderFacts
from deepseek_onnx.session_device import SessionDevice
from deepseek_onnx.settings import ProviderSettings


class ProviderDevice(SessionDevice):
    """What a vendor's provider takes whole; the rest is `Unsupported`."""

    def __init__(self, provider: ProviderFacts, options: OpenOptions) -> None:
        settings = ProviderSettings.of(options.settings)
        found, more = find(provider), settings.given()
        if more:
            _check_settings(provider, more)
        threads = max(1, options.threads) if provider.uses_host_cores else 1
        engine = ProviderEngine(provider, found, threads, more)
        super().__init__(described(provider, found), threads, settings, engine)

    def telemetry(self) -> Mapping[str, float | None]:
        """Readings of the host where its cores do the work; else none."""
        return readings() if self.info.uses_host_cores else {}


def _check_settings(provider: ProviderFacts, more: Mapping[str, str]) -> None:
    try:
        check(provider, find(provider), more)
    except errors.DeviceUnavailable as error:
        raise errors.ConfigError(
            f"provider_options {', '.join(f'{k}={v}' for k, v in more.items())}: {error.message}",
            remedy=f"give options that {provider.name} knows",
        ) from error
