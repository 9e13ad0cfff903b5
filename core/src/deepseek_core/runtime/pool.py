"""The devices of a session: known from their probes, opened when first needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

import attrs

from deepseek_core.contracts.device import (
    Device,
    DeviceInfo,
    LoadOptions,
    OpenOptions,
    Support,
)
from deepseek_core.contracts.errors import (
    ConfigError,
    DeepSeekError,
    DeviceClosed,
    DeviceLost,
    DeviceTimeout,
    DeviceUnavailable,
    Interrupted,
    NoDevice,
)
from deepseek_core.contracts.frontend import ReadOptions
from deepseek_core.contracts.place import DeviceOffer, Link, Place
from deepseek_core.contracts.stage import Operation, Stage
from deepseek_core.discovery.probe_result import ProbeResult
from deepseek_core.discovery.registry import load_locator
from deepseek_core.discovery.strangers import attribute, one_line, raise_if_ours, text_of
from deepseek_core.discovery.watch import watched
from deepseek_core.runtime.bounded import Call
from deepseek_core.runtime.interrupts import held_back, stop_if_interrupted
from deepseek_core.runtime.limits import Limits
from deepseek_core.runtime.loaded import Loaded
from deepseek_core.runtime.logs import warn
from deepseek_core.runtime.opened import Opened, close_quietly


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
        *,
        limits: Limits | None = None,
        check_finite: bool = False,
        place: Place | None = None,
    ) -> None:
        self._options, self._settings, self._place = options, settings or {}, place
        self.limits, self._check_finite = limits or Limits(), check_finite
        self._rows: dict[str, DeviceOffer] = {}  # by device id, as probes found them
        self._open: dict[str, Opened] = {}  # by device id
        self._out: dict[str, str] = {}  # device id -> why it gets no work
        self._left_out: list[str] = []  # those of `_out` that could be used
        self._quarantined: set[str] = set()  # those of `_out` that failed at work
        self._hanging: dict[str, str] = {}  # in a call that has not come back, and in which
        self._lock = threading.RLock()
        self._opening: dict[str, threading.Lock] = {}  # one that hangs holds up itself only
        self._closed = False
        self._pid = os.getpid()
        for probe in probes:
            if not probe.rows:
                self._out[probe.spec.name] = probe.reason or "its probe found no device"
            for info in probe.rows:
                self.add(
                    DeviceOffer(info=info, spec=probe.spec, plugin=probe.plugin, dist=probe.dist)
                )

    def add(self, row: DeviceOffer) -> None:
        """Know one more device; one that another plugin offers, too, is out."""
        other = self._rows.setdefault(row.info.id, row)
        if other is not row:
            self._out[row.info.id] = f"both {other.plugin} and {row.plugin} offer it"
        elif row.info.status != "available":
            self._out[row.info.id] = row.info.reason or "unavailable"

    @property
    def is_elsewhere(self) -> bool:
        """Whether the devices are those of a place, and tensors may lie there."""
        return self._place is not None

    @property
    def links(self) -> Mapping[tuple[str, str], Link]:
        """What a transfer takes from device to device, beyond their estimates."""
        return {} if self._place is None else self._place.links()

    def elsewhere(self, place: Place) -> Self:
        """The same devices, none of them open, to be opened in a place."""
        made = type(self)(
            (), self._options, limits=self.limits, check_finite=self._check_finite, place=place
        )
        for row in self._rows.values():
            made.add(row)
        made._out.update(self._out)
        return made

    def only(self, offer: DeviceOffer, settings: Mapping[str, Mapping[str, object]]) -> Self:
        """One with the options of this one and no device but that."""
        made = type(self)((), self._options, settings, limits=self.limits)
        made.add(offer)
        return made

    @property
    def offers(self) -> tuple[DeviceOffer, ...]:
        """All devices as they are offered, available or not."""
        return tuple(self._rows.values())

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
            NoDevice: none of those named can be used here.
        """
        kept = {device_id for word in words for device_id in self.matching(word)}
        refusals = {i: self._out[i] for i in self._rows if i in kept and i in self._out}
        if kept and len(refusals) == len(kept):
            told = "; ".join(f"{device_id}: {why}" for device_id, why in refusals.items())
            raise NoDevice(
                f"none of the devices asked for can be used ({told})",
                refusals=refusals,
                remedy=_other_devices(self.present_ids()),
            )
        for device_id in self._rows:  # in their order: equal input, equal output
            if device_id not in kept:
                if device_id not in self._out:
                    self._left_out.append(device_id)
                self._out[device_id] = "left out by the caller's choice of devices"

    @contextmanager
    def naming_left_out(self) -> Iterator[None]:
        """Say in a `NoDevice` raised here that the choice of devices left some out.

        Raises:
            NoDevice: as within.
        """
        try:
            yield
        except NoDevice as error:
            if self._left_out:
                error.remedy = _other_devices(self._left_out)
            raise

    def matching(self, word: str) -> tuple[str, ...]:
        """Ids that a word names: the id itself, else a kind or the start of a name.

        Raises:
            ConfigError: it names none.
            NoDevice: it names a plugin that found none.
        """
        if word in self._rows:
            return (word,)
        found = tuple(i for i, row in self._rows.items() if _answers_to(row, word))
        if not found:
            known = ", ".join(self._rows) or "none"
            remedy = f"use one of {known} (`ds-sdk devices` lists them)"
            if word in self._out:  # a plugin whose probe found nothing
                why = self._out[word]
                raise NoDevice(
                    f"no {word} device can be used ({why})", refusals={word: why}, remedy=remedy
                )
            raise ConfigError(f"no device is called {word!r}", remedy=remedy)
        return found

    def present_ids(self) -> tuple[str, ...]:
        """Ids of the devices that are not out, opened or not."""
        return tuple(device_id for device_id in self._rows if device_id not in self._out)

    def usable(self, device_id: str) -> Opened | None:
        """A device, opened if it was not; None if it can't be, and is out from now on.

        Raises:
            DeviceClosed, Interrupted: as `check_open`.
        """
        try:
            return self.use(device_id)
        except DeepSeekError as error:
            stop_if_interrupted(error)
            self.check_open()
            self._out[device_id] = text_of(error)
            warn(__name__, self._out[device_id])
            return None

    def present(self) -> tuple[Device, ...]:
        """The devices that can be opened and are not quarantined."""
        found = map(self.usable, self.present_ids())
        return tuple(opened.device for opened in found if opened is not None)

    def open(self, device_id: str) -> Device:
        """The open device itself, for those who drive it without the SDK's checks.

        Raises:
            DeviceUnavailable, DeviceTimeout, DeviceClosed, Interrupted: as `use`.
        """
        return self.use(device_id).device

    def use(self, device_id: str) -> Opened:
        """The open device.

        Raises:
            DeviceUnavailable: it can't be opened.
            DeviceTimeout: it takes too long, or a call hangs in it.
            DeviceClosed: the session is closed.
            Interrupted: this is a forked child.
        """
        self.check_open()
        found = self._open.get(device_id)
        if found is not None:
            return found
        with self._lock:
            opening = self._opening.setdefault(device_id, threading.Lock())
        with opening:
            self.check_open()
            return self._open.get(device_id) or self._keep(self._make(self._rows[device_id]))

    def _keep(self, made: Opened) -> Opened:
        try:
            with self._lock:
                self.check_open()
                self._open[made.id] = made
        except DeepSeekError:
            made.close()
            raise
        return made

    def _make(self, row: DeviceOffer) -> Opened:
        device_id = row.info.id
        if device_id in self._hanging:
            raise DeviceTimeout(self._hanging[device_id], device_id=device_id)
        try:
            settings = self._settings.get(row.plugin, {})
            options = attrs.evolve(self._options, settings=settings)
            with watched(row.plugin, f"opening {device_id}"):
                make = self._factory(row)
                device = self._within_limit(device_id, lambda: make(options))
        except DeepSeekError:
            raise
        except BaseException as error:
            raise_if_ours(error)
            raise DeviceUnavailable(
                f"{device_id} can't be opened: {one_line(error)}",
                device_id=device_id,
                remedy=f"run `ds-sdk doctor`, or leave {row.plugin} out",
            ) from error
        return self._checked(row, device)

    def _factory(self, row: DeviceOffer) -> Callable[[OpenOptions], Any]:
        if self._place is not None:
            return partial(self._place.open, row)
        with held_back():
            factory = load_locator(row.spec.factory, plugin=row.plugin, dist=row.dist)
        return partial(factory, row.info.id)

    def _within_limit(self, device_id: str, make: Callable[[], Any]) -> Any:
        """What a factory makes."""
        call = Call(make, device_id=device_id, what="opening")
        try:
            return call.result(self.limits.open_s)
        except DeviceTimeout as error:
            if call.is_alive():
                self._hangs(device_id, error.message)
                call.leave(close_quietly, lambda: self._is_back(device_id))
            raise

    def _checked(self, row: DeviceOffer, device: object) -> Opened:
        device_id = row.info.id
        if not isinstance(device, Device):
            raise DeviceUnavailable(
                f"{row.spec.factory} gave a {type(device).__name__}, no Device",
                device_id=device_id,
            )
        info = attribute(device, "info")
        if not isinstance(info, DeviceInfo) or info.id != device_id:
            raise DeviceUnavailable(
                f"{row.spec.factory} opened another device than {device_id}",
                device_id=device_id,
            )
        return Opened(device, info, self.limits, self._left, self._is_back)

    def load(self, stage: Stage, device_id: str, options: LoadOptions) -> Loaded:
        """A stage ready to run on a device, which is opened if it was not.

        Raises:
            PluginError: the device gives no executable.
            DeepSeekError: it can't be opened, or the stage can't be loaded.
        """
        opened = self.use(device_id)
        slots = opened.slots(options.latency)
        executable = opened.load(stage, options)
        return Loaded(executable, stage, opened, slots, check_finite=self._check_finite)

    def holds(self, loaded: Loaded) -> bool:
        """Whether the device that it was loaded on is still the one that is open."""
        return self._open.get(loaded.device_id) is loaded.opened

    def supporters(self, operation: Operation) -> dict[str, Support]:
        """What each device present says of an operation."""
        name = frozenset({operation.qualified_name})
        told: dict[str, Support] = {}
        for device_id in self.present_ids():
            refusal = self.refusal(device_id, name)
            opened = None if refusal else self.usable(device_id)
            if refusal:
                told[device_id] = Support.no(refusal)
            elif opened is not None:
                told[device_id] = opened.supports(operation)
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

    def check_in(self, device_id: str) -> None:
        """Raise if a device gets no work.

        Raises:
            DeviceLost: it is out; says why.
        """
        reason = self._out.get(device_id)
        if reason is not None:
            raise DeviceLost(reason, device_id=device_id)

    def why_out(self) -> dict[str, str]:
        """Device id -> why it gets no work."""
        return dict(self._out)

    def quarantine(self, device_id: str, reason: str) -> bool:
        """Give a device no more work in this session; False if that was so already."""
        with self._lock:
            if device_id in self._quarantined:
                return False
            self._quarantined.add(device_id)
            self._out[device_id] = f"quarantined: {reason}"
            return True

    def forget(self, device_id: str) -> None:
        """Close a device that failed; it is opened again when it is next needed."""
        with self._lock:
            opened = self._open.pop(device_id, None)
        if opened is not None:
            opened.close()

    def leave(self, device_id: str, reason: str) -> bool:
        """Quarantine a device in which a run hangs and never close it; False if it was out already.

        It is out before anybody is told who waits for it: else they would open it again.
        """
        is_new = self.quarantine(device_id, reason)
        self.abandon(device_id)
        return is_new

    def readmit(self, device_id: str) -> None:
        """Give a device work again whose run has come back after all."""
        with self._lock:
            if device_id in self._quarantined:
                self._quarantined.discard(device_id)
                del self._out[device_id]

    def abandon(self, device_id: str) -> None:
        """Forget a device in which a run hangs, and never close it; it is opened again if asked."""
        with self._lock:
            opened = self._open.pop(device_id, None)
        if opened is not None:
            opened.leave(f"a run hangs in {device_id}")

    def _left(self, opened: Opened) -> None:
        """Use a device no more in which a call hangs."""
        self._hangs(opened.id, opened.silent)
        with self._lock:
            if self._open.get(opened.id) is opened:
                del self._open[opened.id]

    def _hangs(self, device_id: str, reason: str) -> None:
        warn(__name__, reason)
        with self._lock:
            self._hanging[device_id] = reason
            self._out.setdefault(device_id, reason)

    def _is_back(self, device_id: str) -> None:
        """Let a device be opened again by those who try again; plans leave it out."""
        with self._lock:
            self._hanging.pop(device_id, None)

    def end(self) -> None:
        """Begin nothing any more; what was opened is still to be closed."""
        self._closed = True

    def close(self) -> None:
        """Close every device that was opened, one after the other; idempotent.

        One whose end takes longer than `Limits.close_s`, or in which a call hangs, is left behind.
        """
        if self.is_foreign:
            return
        self.end()
        with self._lock:
            opened, self._open = list(self._open.values()), {}
        for each in opened:
            each.close()


def _answers_to(row: DeviceOffer, word: str) -> bool:
    names = (row.info.id, row.plugin, row.spec.name, row.info.name.lower())
    return row.info.kind == word or any(name.startswith(word) for name in names)


def _other_devices(ids: Sequence[str]) -> str:
    if not ids:
        return "`ds-sdk devices` says for each device how it can be used"
    return f"leave the choice of devices out (--device), or allow one of {', '.join(ids)}"
