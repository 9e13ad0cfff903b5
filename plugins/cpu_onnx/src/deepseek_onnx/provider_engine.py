"""Sessions on a vendor's provider and on no other; finding out whether it is there."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import attrs
from onnx import TensorProto, helper

from deepseek_core import DeviceInfo, errors
from deepseek_onnx.host import cpu_fingerprint, cpu_name, cpu_vendor, memory_bytes
from deepseek_onnx.ort import ort
from deepseek_onnx.provider_facts import ProviderFacts
from deepseek_onnx.sessions import Threads, trial
from deepseek_onnx.settings import Settings
from deepseek_onnx.vendor_errors import FAULTS, short_text

_RECORD: Final = "session.record_ep_graph_assignment_info"
_NEWER: Final = "pip install -U onnxruntime"
_TOLD: Final = 3  # operators in a refusal
_registering = threading.Lock()
_registered: set[str] = set()  # of this process, which keeps what it has loaded


@attrs.frozen(kw_only=True)
class Found:
    """A provider that is there: its devices in a library, or none where it is built in."""

    devices: tuple[Any, ...] = ()
    version: str = ""


class ProviderEngine:
    """Sessions on one provider; what it would leave to another is refused.

    `runs` tells how many runs of so many threads there are at once. `more` are options of the
    user's, over those of the provider's description.
    """

    def __init__(
        self, provider: ProviderFacts, found: Found, threads: int, more: Mapping[str, str]
    ) -> None:
        self._provider, self._found, self._threads, self._more = provider, found, threads, more

    def session(
        self, model: str | bytes, options: ort.SessionOptions, threads: Threads
    ) -> ort.InferenceSession:
        """Load a model on the provider.

        Raises:
            Exception: one of `vendor_errors.FAULTS`; NotImplementedError if the provider would
                leave a part of it to another one.
        """
        options.add_session_config_entry(_RECORD, "1")
        runs = max(1, self._threads // threads.count)
        given = {**self._provider.options(runs, threads.count), **self._more}
        providers: list[Any] | None = None
        if self._found.devices:
            options.add_provider_for_devices(list(self._found.devices), given)
        else:
            providers = [(self._provider.name, given)]
        # Its own fall-back would open the model, or run it, on the CPU and only print so.
        session = ort.InferenceSession(model, options, providers, enable_fallback=0)
        self._check_placement(session)
        return session

    def _check_placement(self, session: ort.InferenceSession) -> None:
        name, elsewhere = self._provider.name, dict[str, None]()
        for part in session.get_provider_graph_assignment_info():
            if part.ep_name != name:
                elsewhere.update(dict.fromkeys(map(_qualified, part.get_nodes())))
        if elsewhere:
            more = " and more" if len(elsewhere) > _TOLD else ""
            told = ", ".join(list(elsewhere)[:_TOLD])
            raise NotImplementedError(f"{name} does not take {told}{more}")


def _qualified(node: Any) -> str:
    return f"{node.domain}::{node.op_type}" if node.domain else str(node.op_type)


def find(provider: ProviderFacts) -> Found:
    """The provider as this process has it; loads its library for as long as the process lives.

    A library is never unloaded: outputs that a caller still has may lie in its memory. With
    OpenVINO's such an output and a session after loading it again end the process at its exit.

    Raises:
        DeviceUnavailable: it is not there; says why and what to do.
    """
    if not hasattr(ort.InferenceSession, "get_provider_graph_assignment_info"):
        reason = f"onnxruntime {ort.__version__} does not tell which provider ran what"
        raise _unavailable(provider, reason, _NEWER)
    if provider.library is None:
        return _built_in(provider)
    with _registering:
        offered = _offered(provider)
        if not offered and provider.name not in _registered:
            _register(provider, provider.library)
            _registered.add(provider.name)
            offered = _offered(provider)
    fitting = [d for d in offered if provider.device.items() <= dict(d.ep_metadata).items()]
    if not fitting:
        reason = f"{provider.name} offers no {_wanted(provider)} on this machine ({_hardware()})"
        raise _unavailable(provider, reason, provider.remedy)
    return Found(devices=(fitting[0],), version=dict(fitting[0].ep_metadata).get("version", ""))


def _built_in(provider: ProviderFacts) -> Found:
    present = ort.get_available_providers()
    if provider.name not in present:
        reason = (
            f"this build of onnxruntime {ort.__version__} has {', '.join(present)}, "
            f"not {provider.name}"
        )
        raise _unavailable(provider, reason, provider.remedy)
    return Found()


def _register(provider: ProviderFacts, library: str) -> None:
    try:
        path = import_module(library).get_library_path()
    except (ImportError, AttributeError, OSError) as error:
        reason = f"{library} names no library of {provider.name}: {error}"
        raise _unavailable(provider, reason, provider.remedy) from error
    try:
        # Some libraries call their provider as they were registered.
        ort.register_execution_provider_library(provider.name, path)
    except FAULTS as error:
        reason = f"onnxruntime {ort.__version__} does not load {path}: {short_text(error)}"
        raise _unavailable(provider, reason, f"{_NEWER} (or {provider.remedy})") from error


def _offered(provider: ProviderFacts) -> Sequence[Any]:
    return [d for d in ort.get_ep_devices() if d.ep_name == provider.name]


def _wanted(provider: ProviderFacts) -> str:
    return ", ".join(f"{key} {value}" for key, value in provider.device.items()) or "device"


def _hardware() -> str:
    """What ONNX Runtime sees here: `CPU of AMD`."""
    seen = dict.fromkeys((d.device.type.name, d.device.vendor) for d in ort.get_ep_devices())
    return ", ".join(f"{kind} of {vendor or 'unknown make'}" for kind, vendor in seen)


def _unavailable(provider: ProviderFacts, reason: str, remedy: str) -> errors.DeviceUnavailable:
    return errors.DeviceUnavailable(reason, device_id=provider.id, remedy=remedy)


def row(provider: ProviderFacts) -> DeviceInfo:
    """The provider's device as it is here; one that loads no model is unavailable."""
    try:
        found = find(provider)
        check(provider, found, {})
    except errors.DeviceUnavailable as error:
        return attrs.evolve(
            described(provider, Found()),
            status="unavailable",
            reason=error.message,
            remedy=error.remedy,
        )
    return described(provider, found)


def described(provider: ProviderFacts, found: Found) -> DeviceInfo:
    """The row of a provider that is there."""
    host = provider.uses_host_cores
    driver = f"{provider.name} {found.version}".strip() + f", onnxruntime {ort.__version__}"
    return DeviceInfo(
        id=provider.id,
        kind=provider.kind,
        name=cpu_name() if host else provider.name,
        evidence=provider.evidence,
        fingerprint=f"{cpu_fingerprint()}|{driver}",
        vendor=cpu_vendor() if host else "",
        driver=driver,
        mem_bytes=memory_bytes() if host else None,
        uses_host_cores=host,
    )


def check(provider: ProviderFacts, found: Found, more: Mapping[str, str]) -> None:
    """Load a model of one sum on it.

    Raises:
        DeviceUnavailable: it does not load, or not there.
    """
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "sum", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    engine = ProviderEngine(provider, found, 1, more)
    try:
        trial(model.SerializeToString(), Settings(), engine)
    except FAULTS as error:
        reason = f"{provider.name} is there, but loads no model: {short_text(error)}"
        raise _unavailable(provider, reason, provider.remedy) from error
