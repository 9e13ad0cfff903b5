"""The metric families: one table that /metrics, the page, the history and Grafana are made from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

import attrs

Unit = Literal["ratio", "bytes", "bytes/s", "celsius", "watts", "hertz", "seconds", "per s", ""]
Series = tuple[str, tuple[str, ...]]
"""A family's name and the values of its labels, in the family's order."""

DEVICE: Final = ("device", "kind")


@attrs.frozen(kw_only=True)
class Family:
    """What is measured, by its name in /metrics.

    A family with a `panel` has a chart of that title on the page and in Grafana, and is kept in
    the history; a counter is drawn and kept as its rate. `why_absent` is what the page says where
    no device gives it.
    """

    name: str
    help: str
    labels: tuple[str, ...] = DEVICE
    kind: Literal["gauge", "counter"] = "gauge"
    unit: Unit = ""
    panel: str = ""
    why_absent: str = ""

    @property
    def shown_unit(self) -> Unit:
        """The unit of what is drawn: a counter's is per second."""
        if self.kind == "counter":
            return "bytes/s" if self.unit == "bytes" else "per s"
        return self.unit

    @property
    def query(self) -> str:
        """What a dashboard asks Prometheus for the chart."""
        return f"rate({self.name}[1m])" if self.kind == "counter" else self.name


def _device(
    name: str, help_: str, unit: Unit = "", panel: str = "", why_absent: str = ""
) -> Family:
    return Family(
        name=f"deepseek_device_{name}",
        help=help_,
        unit=unit,
        panel=panel,
        kind="counter" if name.endswith("_total") else "gauge",
        why_absent=why_absent,
    )


UP: Final = "deepseek_device_up"
UTILIZATION: Final = "deepseek_device_utilization_ratio"
MEMORY: Final = "deepseek_device_memory_used_ratio"
TEMPERATURE: Final = "deepseek_device_temperature_celsius"
ALERT: Final = "deepseek_alert_active"

_ALL: Final = (
    _device("up", "1 where the device answers, 0 where it is lost or silent."),
    Family(
        name="deepseek_device_description", labels=("device", "kind", "name"),
        help="What the device calls itself; the value is always 1.",
    ),
    _device(
        "utilization_ratio", "Share of the last interval in which it did something; of a GPU: some "
        "kernel ran, however small.", "ratio", "Utilization",
    ),
    _device("memory_used_ratio", "Used memory by its size.", "ratio", "Memory"),
    _device("memory_used_bytes", "Used memory.", "bytes"),
    _device("memory_size_bytes", "Memory in all.", "bytes"),
    _device(
        "memory_controller_busy_ratio",
        "Share of time in which the memory controller was busy; it is no bandwidth.", "ratio",
    ),
    _device(
        "dram_bandwidth_ratio", "Memory bandwidth by its peak, from GPU performance monitoring.",
        "ratio", "Memory bandwidth",
        why_absent="not observable: no device here tells it (GPM of NVIDIA Hopper or newer does)",
    ),
    _device(
        "pcie_transmit_bytes_per_second", "From the device over PCIe.", "bytes/s", "PCIe, sent"
    ),
    _device(
        "pcie_receive_bytes_per_second", "To the device over PCIe.", "bytes/s", "PCIe, received"
    ),
    _device("temperature_celsius", "Temperature.", "celsius", "Temperature"),
    _device("power_watts", "Power draw.", "watts", "Power"),
    _device("clock_hertz", "Clock of the multiprocessors, or of the cores.", "hertz"),
    Family(
        name="deepseek_device_throttled", labels=("device", "kind", "reason"),
        help="1 while the clocks are held down for this reason.",
    ),
    _device("ecc_uncorrected_total", "Memory errors that ECC could not correct."),
    Family(
        name="deepseek_disk_read_bytes_total", kind="counter", unit="bytes", labels=("disk",),
        help="Read from the disk.", panel="Disks, read",
    ),
    Family(
        name="deepseek_disk_written_bytes_total", kind="counter", unit="bytes", labels=("disk",),
        help="Written to the disk.", panel="Disks, written",
    ),
    Family(
        name="deepseek_filesystem_used_ratio", labels=("mount",), unit="ratio",
        help="Used space by what a user may use.",
    ),
    Family(
        name="deepseek_network_receive_bytes_total", kind="counter", unit="bytes",
        labels=("interface",), help="Received.", panel="Network, received",
    ),
    Family(
        name="deepseek_network_transmit_bytes_total", kind="counter", unit="bytes",
        labels=("interface",), help="Sent.", panel="Network, sent",
    ),
    Family(
        name="deepseek_queue_length", labels=("queue",),
        help="What waits in a queue of a session or server.", panel="Queue lengths",
    ),
    Family(
        name="deepseek_deadline_misses_total", labels=("queue",), kind="counter",
        help="Requests that ended after their deadline.", panel="Deadline misses",
    ),
    Family(
        name="deepseek_requests_done_total", labels=("queue",), kind="counter",
        help="Requests that ended.", panel="Requests done",
    ),
    Family(
        name="deepseek_requests_refused_total", labels=("queue",), kind="counter",
        help="Requests that were not taken in.",
    ),
    Family(
        name="deepseek_session_device_utilization_ratio", labels=("session", "device"),
        unit="ratio", help="Share of time in which a session ran a task on the device.",
    ),
    Family(
        name="deepseek_tier_hit_ratio", labels=("tier",), unit="ratio", panel="Tier hit rates",
        help="Reads that the tier, or the cache, answered, by all, since the state before.",
    ),
    Family(
        name="deepseek_tier_used_ratio", labels=("tier",), unit="ratio",
        help="Used space by the tier's capacity.", panel="Tiers, used",
    ),
    Family(
        name="deepseek_store_degraded_reads_total", labels=("store",), kind="counter",
        help="Shards that were made of other fragments, as their own could not be read.",
    ),
    Family(
        name="deepseek_training_step", labels=("run",), help="Steps that are done.",
        panel="Training step",
    ),
    Family(
        name="deepseek_training_loss", labels=("run",), help="Loss of the last step.",
        panel="Training loss",
    ),
    Family(
        name="deepseek_training_samples_per_second", labels=("run",), unit="per s",
        help="Samples of all ranks.", panel="Training samples",
    ),
    Family(
        name="deepseek_training_ranks", labels=("run",), help="Ranks that train.",
    ),
    Family(
        name="deepseek_training_imbalance_ratio", labels=("run",), unit="ratio",
        help="Slowest rank by the mean, less 1.", panel="Training imbalance",
    ),
    Family(
        name="deepseek_checkpoint_step", labels=("place",), help="Step of the last checkpoint.",
    ),
    Family(
        name="deepseek_checkpoint_seconds", labels=("place",), unit="seconds",
        help="What the last checkpoint took.",
    ),
    Family(
        name="deepseek_checkpoint_size_bytes", labels=("place",), unit="bytes",
        help="What the last checkpoint wrote.",
    ),
    Family(
        name="deepseek_events_total", labels=("event",), kind="counter",
        help="Events that came from the engines.", panel="Events",
    ),
    Family(
        name="deepseek_event_value", labels=("event", "field", "subject"),
        help="The number that the last event of its kind carried.",
    ),
    Family(
        name="deepseek_events_refused_total", labels=("reason",), kind="counter",
        help="Events that were left out, by the reason.",
    ),
    Family(
        name=ALERT, labels=("alert", "subject"), help="1 while the alert is on.",
    ),
    Family(
        name="deepseek_source_up", labels=("source",), help="1 where a source of samples answers.",
    ),
    Family(
        name="deepseek_monitor_sample_seconds", labels=(), unit="seconds",
        help="How long the last sample took.",
    ),
    Family(
        name="deepseek_monitor_cpu_seconds_total", labels=(), kind="counter",
        help="Processor time of the monitor itself.",
    ),
    Family(
        name="deepseek_monitor_rows_dropped_total", labels=(), kind="counter",
        help="Rows that slow readers of the page missed.",
    ),
)  # fmt: skip

FAMILIES: Final[Mapping[str, Family]] = {family.name: family for family in _ALL}
PANELS: Final = tuple(family for family in _ALL if family.panel)
KEPT: Final = frozenset({UP, *(family.name for family in PANELS)})
"""What the rings and the history hold."""
