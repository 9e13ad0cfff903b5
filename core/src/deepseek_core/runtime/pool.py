"""The devices of a session: known from their probes, opened when first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs

from deepseek_core.contracts.device import (
    Device,
    DeviceInfo,
    DeviceSpec,
    Executable,
    LoadOptions,
    OpenOptions,
    Support,
)
from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    DeviceClosed,
    DeviceUnavailable,
    Interrupted,
    PluginError,
)
from deepseek_core.contracts.frontend import ReadOptions
from deepseek_core.contracts.stage import Operation, Stage
from deepseek_core.contracts.task import LatencyClass
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import load_locator
from deepseek_core.discovery.strangers import attribute, one_line, raise_if_ours, text_of
from deepseek_core.runtime.answers import support_of, takes
from deepseek_core.runtime.interrupts import held_back, stop_if_interrupted
from deepseek_core.runtime.loaded import Loaded, Slots
from deepseek_core.runtime.logs import warn

_CLOSE_S: Final = 2.0


@attrs.frozen
class _Row:
    info: DeviceInfo
    spec: DeviceSpec
    plugin: str
    dist: str


class DevicePool:
    """Opens each device once, remembers why one is out, closes all of them.

    It belongs to the process that made it: a forked child has neither its threads nor its
    drivers, so there nothing is opened, run or closed.
    """

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
        self._slots: dict[tuple[str, LatencyClass], Slots] = {}
        self._lock = threading.RLock()
        self._closed = False
        self._pid = os.getpid()
        for probe in probes:
            if not probe.rows:
                self._out[probe.spec.name] = probe.reason or "its probe found no device"
            for info in probe.rows:
                self._add(_Row(info, probe.spec, probe.plugin, probe.dist))

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

    @property
    def is_foreign(self) -> bool:
        """Whether this is the copy that a forked child has."""
        return os.getpid() != self._pid

    @property
    def is_closed(self) -> bool:
        """Whether the session is at its end."""
        return self._closed

    def check_open(self) -> None:
        """Raise if nothing may run any more.

        Raises:
            DeviceClosed: the session is closed.
            Interrupted: this is a forked child.
        """
        if self.is_foreign:
            raise Interrupted(
                "the session was opened before the process was forked; only its parent can use it",
                remedy="open a session of its own in each process",
            )
        if self._closed:
            raise DeviceClosed(
                "the session is closed", device_id="session", remedy="open a new one"
            )

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

    def present_ids(self) -> tuple[str, ...]:
        """Ids of the devices that are not out, opened or not."""
        return tuple(device_id for device_id in self._rows if device_id not in self._out)

    def opened(self, device_id: str) -> Device | None:
        """A device, opened if it was not; None if it can't be, and is out from now on."""
        try:
            return self.open(device_id)
        except DeepSeekError as error:
            stop_if_interrupted(error)
            self._out[device_id] = text_of(error)
            warn(__name__, self._out[device_id])
            return None

    def present(self) -> tuple[Device, ...]:
        """The devices that can be opened and are not quarantined."""
        found = map(self.opened, self.present_ids())
        return tuple(device for device in found if device is not None)

    def open(self, device_id: str) -> Device:
        """The open device.

        Raises:
            DeviceUnavailable: it can't be opened.
            DeviceClosed: the session is closed.
            Interrupted: this is a forked child.
        """
        self.check_open()
        with self._lock:
            self.check_open()
            if device_id not in self._open:
                self._open[device_id] = self._make(self._rows[device_id])
            return self._open[device_id]

    def _make(self, row: _Row) -> Device:
        try:
            with held_back():
                factory = load_locator(row.spec.factory, plugin=row.plugin, dist=row.dist)
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
                f"{row.spec.factory} gave a {type(device).__name__}, no Device",
                device_id=row.info.id,
            )
        if attribute(attribute(device, "info"), "id") != row.info.id:
            raise DeviceUnavailable(
                f"{row.spec.factory} opened another device than {row.info.id}",
                device_id=row.info.id,
            )
        return device

    def load(self, stage: Stage, device_id: str, options: LoadOptions) -> Loaded:
        """A stage ready to run on a device, which is opened if it was not.

        Raises:
            PluginError: the device gives no executable.
            DeepSeekError: it can't be opened, or the stage can't be loaded.
        """
        device = self.open(device_id)
        executable = device.load(stage, options)
        if not isinstance(executable, Executable):
            raise PluginError(f"{device_id} loaded a {type(executable).__name__}, no Executable")
        slots = self._slots_of(device, options.latency)
        return Loaded(executable, stage, device, slots)

    def holds(self, loaded: Loaded) -> bool:
        """Whether the device that it was loaded on is still the one that is open."""
        return self._open.get(loaded.device_id) is loaded.device

    def _slots_of(self, device: Device, latency: LatencyClass) -> Slots:
        """The free slots of a device, which all plans of the session share."""
        count = takes(device, latency).slots
        with self._lock:
            key = device.info.id, latency
            if key not in self._slots:
                self._slots[key] = Slots()
                for slot in range(count):
                    self._slots[key].put(slot)
            return self._slots[key]

    def supporters(self, operation: Operation) -> dict[str, Support]:
        """What each device present says of an operation."""
        name = frozenset({operation.qualified_name})
        told: dict[str, Support] = {}
        for device_id in self.present_ids():
            refusal = self.refusal(device_id, name)
            device = None if refusal else self.opened(device_id)
            if refusal:
                told[device_id] = Support.no(refusal)
            elif device is not None:
                told[device_id] = support_of(device_id, partial(device.supports, operation))
        return told

    def read_options(self, format: str, **more: Any) -> ReadOptions:
        """What a frontend may ask of the devices present, with what the caller asks of it."""
        there = {i: row.spec for i, row in self._rows.items() if i not in self._out}
        whole = {i for i, spec in there.items() if format in spec.whole_formats}
        return ReadOptions(
            supporters=self.supporters,
            whole=whole,
            operators={i: spec.operators for i, spec in there.items() if i not in whole},
            **more,
        )

    def reads(self, device_id: str, format: str) -> bool:
        """Whether a device loads artifacts of this format as they are."""
        return format in self._rows[device_id].spec.whole_formats

    def refusal(self, device_id: str, operators: frozenset[str]) -> str:
        """Why a device that need not be opened for that runs none of these; empty if it may."""
        known = self._rows[device_id].spec.operators
        if not known or not operators.isdisjoint(known):
            return ""
        return f"runs {', '.join(known)} only"

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

    def abandon(self, device_id: str) -> None:
        """Forget a device in which a call hangs, and never close it; it is opened anew if asked."""
        with self._lock:
            self._open.pop(device_id, None)
            for key in [key for key in self._slots if key[0] == device_id]:
                del self._slots[key]

    def close(self) -> None:
        """Close every device that was opened, one after the other; idempotent.

        One whose end takes more than two seconds is left behind.
        """
        if self.is_foreign:
            return
        with self._lock:
            self._closed = True
            opened, self._open = self._open, {}
        for device_id, device in opened.items():
            closer = threading.Thread(target=_close, args=(device, device_id), daemon=True)
            closer.start()
            closer.join(_CLOSE_S)
            if closer.is_alive():
                warn(__name__, f"{device_id} is left behind: it did not close in {_CLOSE_S:g} s")


def _close(device: Device, device_id: str) -> None:
    try:
        device.close()
    except BaseException as error:  # noqa: BLE001 - the others must be closed too
        raise_if_ours(error)
        warn(__name__, f"{device_id} did not close: {one_line(error)}")


def _answers_to(row: _Row, word: str) -> bool:
    names = (row.info.id, row.plugin, row.spec.name, row.info.name.lower())
    return row.info.kind == word or any(name.startswith(word) for name in names)
