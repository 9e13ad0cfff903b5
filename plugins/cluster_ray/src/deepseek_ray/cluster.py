"""The cluster as a place: its nodes, their devices, and what lies between them."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import attrs

from deepseek_core import Device, DeviceInfo, DeviceSpec, OpenOptions, errors, places
from deepseek_ray.connection import connect, release
from deepseek_ray.device import RayDevice
from deepseek_ray.faults import MISSING, translated
from deepseek_ray.links import measured
from deepseek_ray.nodes import Node, alive_nodes
from deepseek_ray.pulse import Pulse
from deepseek_ray.settings import Settings
from deepseek_ray.worker import Worker

_MOST_THREADS: Final = 32


def open_cluster(options: places.PlaceOptions) -> RayCluster:
    """Join the cluster that the settings name.

    Raises:
        DeviceUnavailable: it does not answer in time.
        ConfigError: an address that is none.
    """
    settings = Settings.of(options.settings)
    connect(settings.address, settings.connect_s)
    return RayCluster(options, settings)


class RayCluster(places.Place):
    """An actor for each node that lists its devices, and one for each device that is open."""

    def __init__(self, options: places.PlaceOptions, settings: Settings) -> None:
        self._options, self._settings = options, settings
        self._listers: dict[str, Any] = {}  # node name -> the actor that lists its devices
        # device id -> its node, and the offer as the node made it
        self._where: dict[str, tuple[Node, places.DeviceOffer]] = {}
        self._devices: list[RayDevice] = []
        # (from, to) by device id, or HOME; None: not measured yet
        self._links: dict[tuple[str, str], places.Link] | None = None
        self._lock = threading.RLock()
        self._closed = False

    @cached_property
    def _nodes(self) -> tuple[Node, ...]:
        return alive_nodes()

    # -- devices -------------------------------------------------------------------------------

    def offers(self) -> Sequence[places.DeviceOffer]:
        """The devices of every node as `ray:NODE/ID`; a node that can't be used says why.

        Raises:
            DeepSeekError: no node can be used; that of the first one.
        """
        found: list[places.DeviceOffer] = []
        faults: list[BaseException] = []
        for node, listed in self._listed().items():
            if isinstance(listed, BaseException):
                _end(self._listers.pop(node.name))
                faults.append(listed)
                found.append(_unusable(node, listed))
            else:
                found += [self._named(node, offer) for offer in listed]
        if len(faults) == len(self._nodes) and faults:
            raise faults[0]
        return found

    def _listed(self) -> dict[Node, Sequence[places.DeviceOffer] | BaseException]:
        """What each node lists, all asked at once, or what went wrong there."""
        import ray

        asked = {}
        for node in self._nodes:
            self._listers[node.name] = actor = self._actor(node)
            asked[actor.offers.remote()] = node
        ready, _ = ray.wait(
            list(asked), num_returns=len(asked), timeout=self._settings.open_s, fetch_local=True
        )
        found: dict[Node, Sequence[places.DeviceOffer] | BaseException] = {}
        for ref, node in asked.items():
            if ref not in ready:
                found[node] = self._silent(node)
                continue
            try:
                found[node] = ray.get(ref, timeout=self._settings.open_s)
            except ray.exceptions.RayError as error:
                found[node] = _told(node, translated(error, f"ray:{node.name}"))
        return found

    def _silent(self, node: Node) -> errors.DeviceTimeout:
        return errors.DeviceTimeout(
            f"node {node.name} did not list its devices in {self._settings.open_s:g} s",
            device_id=f"ray:{node.name}",
            remedy="see whether it hangs (ray status), or raise cluster_ray.open_s",
        )

    def _named(self, node: Node, offer: places.DeviceOffer) -> places.DeviceOffer:
        """The offer by the id that it has in the cluster; its cores are not those of this host."""
        device_id = f"ray:{node.name}/{offer.info.id}"
        self._where[device_id] = node, offer
        info = attrs.evolve(offer.info, id=device_id, uses_host_cores=False)
        return attrs.evolve(offer, info=info)

    def open(self, offer: places.DeviceOffer, options: OpenOptions) -> Device:
        """An actor on the node of a device, with the device open in it.

        A device that is none of the cluster's own is opened on the node of this process.

        Raises:
            DeviceUnavailable: it can't be opened, or what it takes of the node is not free.
        """
        node, local = self._where.get(offer.info.id) or (self._home, offer)
        actor = self._actor(node, kind=offer.info.kind)
        try:
            workloads = self._within_limit(actor, node, offer, actor.open.remote(local))
        except BaseException:
            _end(actor)
            raise
        pulse = Pulse(actor, offer.info.id, self._settings.silent_s)
        device = RayDevice(offer.info, pulse, workloads)
        with self._lock:
            self._devices.append(device)
            closed = self._closed
        if closed:
            device.close()
            raise errors.DeviceClosed("the cluster was left", device_id=offer.info.id)
        return device

    def _within_limit(self, actor: Any, node: Node, offer: places.DeviceOffer, ref: Any) -> Any:
        import ray

        limit_s = self._settings.open_s
        try:
            return ray.get(ref, timeout=limit_s)
        except ray.exceptions.GetTimeoutError as error:
            resource = node.resource(offer.info.kind)
            taken = f"its resource {resource} may be taken by another job, " if resource else ""
            raise errors.DeviceUnavailable(
                f"{offer.info.id} was not open after {limit_s:g} s: {taken}or its node hangs",
                device_id=offer.info.id,
                remedy="ray status shows what is free; cluster_ray.open_s is the limit",
            ) from error
        except ray.exceptions.RayError as error:
            raise _told(node, translated(error, offer.info.id)) from error

    @property
    def _home(self) -> Node:
        return next((node for node in self._nodes if node.is_home), self._nodes[0])

    def _actor(self, node: Node, kind: str = "") -> Any:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        groups = {"runs": min(node.cores + 2, _MOST_THREADS), "pulse": 1}
        resource = node.resource(kind)
        made = ray.remote(concurrency_groups=groups)(Worker).options(
            num_cpus=0,
            resources={resource: 1} if resource else None,
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node.id, soft=False),
        )
        options = self._options
        return made.remote(dict(options.environment), dict(options.given), options.threads)

    # -- links ---------------------------------------------------------------------------------

    def links(self) -> Mapping[tuple[str, str], places.Link]:
        """Between the devices of all pairs of nodes, and this process; measured once."""
        with self._lock:
            if self._links is None:
                by_node = measured(self._listers)
                node_of = {places.HOME: places.HOME} | {
                    i: node.name for i, (node, _) in self._where.items()
                }
                self._links = {
                    (a, b): by_node[x, y]
                    for a, x in node_of.items()
                    for b, y in node_of.items()
                    if a != b and (x, y) in by_node
                }
            return self._links

    def close(self) -> None:
        """End every actor that this began, and leave the cluster; idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            devices, self._devices = self._devices, []
        for device in devices:
            device.close()
        for actor in self._listers.values():
            _end(actor)
        release()


def _end(actor: Any) -> None:
    import ray

    if ray.is_initialized():
        ray.kill(actor)


def _told(node: Node, error: BaseException) -> errors.DeepSeekError:
    """An error of a node with the node in it."""
    if isinstance(error, errors.PluginError):
        return errors.PluginError(f"node {node.name}: {error.message}", remedy=error.remedy)
    if isinstance(error, errors.DeepSeekError):
        return error
    return errors.DeviceUnavailable(
        f"node {node.name}: {error}", device_id=f"ray:{node.name}", remedy=MISSING
    )


def _unusable(node: Node, error: BaseException) -> places.DeviceOffer:
    """A row that says why a node has no devices for us."""
    message = error.message if isinstance(error, errors.DeepSeekError) else str(error)
    info = DeviceInfo(
        id=f"ray:{node.name}",
        kind="node",
        name=node.name,
        evidence="hardware",
        status="unavailable",
        reason=message,
        remedy=getattr(error, "remedy", None),
    )
    spec = DeviceSpec(
        name="ray",
        kind="node",
        factory="deepseek_ray.cluster:open_cluster",
        probe="deepseek_ray.cluster:open_cluster",
    )
    return places.DeviceOffer(info=info, spec=spec, plugin="cluster_ray", dist="deepseek-ray")
