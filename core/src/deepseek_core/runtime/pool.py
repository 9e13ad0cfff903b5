"""The devices of a session: known from their probes, opened when first needed."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence

import attrs

from deepseek_core.contracts.device import Device, DeviceInfo, OpenOptions, Support
from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    DeviceClosed,
    DeviceUnavailable,
)
from deepseek_core.contracts.graph import Operation
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import load_locator
from deepseek_core.discovery.strangers import one_line, raise_if_ours, text_of
from deepseek_core.runtime.interrupts import held_back, stop_if_interrupted

_log = logging.getLogger(__name__)


@attrs.frozen
class _Row:
    info: DeviceInfo
    factory: str
    plugin: str
    dist: str
    spec_name: str


class DevicePool:
    """Opens each device once, remembers why one is out, closes all of them."""

    def __init__(
        self,
        probes: Iterable[ProbeResult],
        options: OpenOptions,
        settings: Mapping[str, Mapping[str, object]] | None = None,
    ) -> None:
        self._options, self._settings = options, settings or {}
        self._rows: dict[str, _Row] = {}
        self._open: dict[str, Device] = {}
        self._out: dict[str, str] = {}
        self._lock = threading.RLock()
        self._closed = False
        for probe in probes:
            if not probe.rows:
                self._out[probe.spec.name] = probe.reason or "its probe found no device"
            for info in probe.rows:
                self._add(_Row(info, probe.spec.factory, probe.plugin, probe.dist, probe.spec.name))

    def _add(self, row: _Row) -> None:
        other = self._rows.setdefault(row.info.id, row)
        if other is not row:
            self._out[row.info.id] = f"both {other.plugin} and {row.plugin} offer it"
        elif row.info.status != "available":
            self._out[row.info.id] = row.info.reason or "unavailable"

    @property
    def infos(self) -> tuple[DeviceInfo, ...]:
        """All devices that the probes found, available or not."""
        return tuple(row.info for row in self._rows.values())

    def info(self, device_id: str) -> DeviceInfo:
        """The row of one device."""
        return self._rows[device_id].info

    def limit(self, words: Sequence[str]) -> None:
        """Use only the devices that one of these words names.

        Raises:
            ConfigError: a word that names no device.
        """
        kept = {device_id for word in words for device_id in self.matching(word)}
        for device_id in set(self._rows) - kept:
            self._out.setdefault(device_id, "left out by the caller's choice of devices")

    def matching(self, word: str) -> tuple[str, ...]:
        """Ids that a word names: the id itself, else a kind or the start of a name.

        Raises:
            ConfigError: it names none.
        """
        if word in self._rows:
            return (word,)
        found = tuple(i for i, row in self._rows.items() if _answers_to(row, word))
        if not found:
            known = ", ".join(self._rows) or "none"
            raise ConfigError(
                f"no device is called {word!r}",
                remedy=f"use one of {known} (`ds-sdk devices` lists them)",
            )
        return found

    def present(self) -> tuple[Device, ...]:
        """The devices that can be opened and are not quarantined."""
        devices = []
        for device_id in self._rows:
            if device_id not in self._out:
                try:
                    devices.append(self.open(device_id))
                except DeepSeekError as error:
                    stop_if_interrupted(error)
                    self._out[device_id] = text_of(error)
                    _log.warning("%s", self._out[device_id])
        return tuple(devices)

    def open(self, device_id: str) -> Device:
        """The open device.

        Raises:
            DeviceUnavailable: it can't be opened.
            DeviceClosed: the session is closed.
        """
        with self._lock:
            if self._closed:
                raise DeviceClosed("the session is closed", device_id=device_id)
            if device_id not in self._open:
                self._open[device_id] = self._make(self._rows[device_id])
            return self._open[device_id]

    def _make(self, row: _Row) -> Device:
        try:
            with held_back():
                factory = load_locator(row.factory, plugin=row.plugin, dist=row.dist)
            settings = self._settings.get(row.plugin, {})
            device = factory(row.info.id, attrs.evolve(self._options, settings=settings))
        except DeepSeekError:
            raise
        except BaseException as error:
            raise_if_ours(error)
            raise DeviceUnavailable(
                f"{row.info.id} can't be opened: {one_line(error)}",
                device_id=row.info.id,
                remedy=f"run `ds-sdk doctor`, or leave {row.plugin} out",
            ) from error
        if not isinstance(device, Device):
            raise DeviceUnavailable(
                f"{row.factory} gave a {type(device).__name__}, no Device", device_id=row.info.id
            )
        return device

    def supporters(self, operation: Operation) -> dict[str, Support]:
        """What each device present says of an operation."""
        return {device.info.id: device.supports(operation) for device in self.present()}

    def why_out(self) -> dict[str, str]:
        """Device id -> why it gets no work."""
        return dict(self._out)

    def quarantine(self, device_id: str, reason: str) -> bool:
        """Give a device no more work in this session; False if it was out already."""
        with self._lock:
            if device_id in self._out:
                return False
            self._out[device_id] = f"quarantined: {reason}"
            return True

    def forget(self, device_id: str) -> None:
        """Close a device that failed; it is opened anew when it is next needed."""
        with self._lock:
            device = self._open.pop(device_id, None)
        if device is not None:
            _close(device, device_id)

    def close(self) -> None:
        """Close every device that was opened; idempotent."""
        with self._lock:
            self._closed = True
            opened, self._open = self._open, {}
        for device_id, device in opened.items():
            _close(device, device_id)


def _close(device: Device, device_id: str) -> None:
    try:
        device.close()
    except BaseException as error:  # noqa: BLE001 - the others must be closed too
        raise_if_ours(error)
        _log.warning("%s did not close: %s", device_id, one_line(error))


def _answers_to(row: _Row, word: str) -> bool:
    names = (row.info.id, row.plugin, row.spec_name, row.info.name.lower())
    return row.info.kind == word or any(name.startswith(word) for name in names)
