"""Serves what a store tells of itself in Prometheus' text format, version 0.0.4.

`serve` answers in a thread, so a process that has a store open for its own work may serve it too.
Not by prometheus_client, which keeps counts of its own: these are the store's, read when asked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Final, Literal, Self

import attrs

from deepseek_core import DeepSeekError, errors
from deepseek_store.report.status import StoreStatus, TierStatus, look

if TYPE_CHECKING:
    from deepseek_store.store import Store

_LOG: Final = logging.getLogger(__name__)
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_PREFIX: Final = "deepseek_store_"
Labels = Mapping[str, str]


@attrs.frozen(kw_only=True)
class Metric:
    """One measure with its samples; names of counters end in `_total`, and have their unit."""

    name: str
    kind: Literal["counter", "gauge"]
    help: str
    samples: tuple[tuple[Labels, float], ...]

    def lines(self) -> Iterator[str]:
        """Lines in Prometheus' format."""
        yield f"# HELP {_PREFIX}{self.name} {_escaped(self.help)}"
        yield f"# TYPE {_PREFIX}{self.name} {self.kind}"
        for labels, value in self.samples:
            inside = ",".join(f'{name}="{_quoted(text)}"' for name, text in labels.items())
            braces = f"{{{inside}}}" if inside else ""
            yield f"{_PREFIX}{self.name}{braces} {value:.17g}"


def render(status: StoreStatus) -> str:
    """The page that a scraper reads."""
    return "".join(f"{line}\n" for metric in metrics(status) for line in metric.lines())


def metrics(status: StoreStatus) -> Iterator[Metric]:
    """All measures of a store at one moment."""
    yield _gauge("objects", "Objects that can be read, by the tier a read goes to", {
        tier.name: tier.objects for tier in status.tiers
    })  # fmt: skip
    yield _gauge("object_bytes", "Bytes of those objects", {
        tier.name: tier.objects_nbytes for tier in status.tiers
    })  # fmt: skip
    yield from _of_tiers(status.tiers)
    yield from _of_store(status)
    yield from _counters(status)


def _of_tiers(tiers: tuple[TierStatus, ...]) -> Iterator[Metric]:
    parts: list[tuple[Labels, float]] = []
    for tier in tiers:
        for what in ("live", "redundancy", "garbage"):
            nbytes = float(getattr(tier, f"{what}_nbytes"))
            parts.append(({"tier": tier.name, "part": what}, nbytes))
    yield Metric(
        name="stored_bytes",
        kind="gauge",
        help="Bytes on disks and tiers: what is needed, parities and copies, and what gc will free",
        samples=tuple(parts),
    )
    yield _gauge("capacity_bytes", "Bytes that a tier can hold", {
        tier.name: tier.capacity_nbytes for tier in tiers
    })  # fmt: skip
    yield _gauge("free_bytes", "Bytes that a tier has left", {
        tier.name: tier.free_nbytes for tier in tiers
    })  # fmt: skip
    yield _gauge("tier_up", "Whether the tier, or some disk of the log, answers", {
        tier.name: not tier.unreachable for tier in tiers
    })  # fmt: skip
    yield _gauge("durability_nines", "Least nines of annual durability of the code in use", {
        tier.name: min(tier.choice.nines.values()) if tier.choice else None
        for tier in tiers
    })  # fmt: skip
    yield from _health(tiers)
    yield Metric(
        name="stripes",
        kind="gauge",
        help="Stripes by their code",
        samples=tuple(
            ({"tier": tier.name, "code": code}, float(number))
            for tier in tiers
            for code, number in tier.codes.items()
        ),
    )


def _health(tiers: tuple[TierStatus, ...]) -> Iterator[Metric]:
    """What of each tier is there now, and what its stripes bear."""
    yield _gauge("durability_nines_now", "Least nines of any stripe, by what is there now", {
        tier.name: tier.nines_now for tier in tiers
    })  # fmt: skip
    yield _gauge("domain_losses_bearable", "Domains that may go yet, of any stripe", {
        tier.name: tier.domain_losses_now for tier in tiers
    })  # fmt: skip
    for name, text in (
        ("domains", "Failure domains, or disks of the log, that are there"),
        ("domains_configured", "Those that should be"),
        ("stripes_hurt", "Stripes that lack fragments now"),
        ("stripes_unreadable", "Stripes that can't be read now"),
        ("segments_unreadable", "Segments of the log that are nowhere now"),
    ):
        yield _gauge(name, text, {t.name: float(getattr(t, name)) for t in tiers})


def _of_store(status: StoreStatus) -> Iterator[Metric]:
    log_nbytes = next(tier.stored_nbytes for tier in status.tiers if tier.name == "hot")
    for name, text, value in (
        ("log_bytes", "Bytes of the log's files", log_nbytes),
        ("index_bytes", "Bytes of the index's files in the home", status.index_nbytes),
        ("index_lag_versions", "Versions in the log and not yet in the index", status.index_behind),
        ("snapshots", "Snapshots", status.snapshots),
        ("pins", "Pinned objects", status.pins),
        ("damaged_units", "Segments and stripes that scrubs left damaged", status.damaged),
    ):
        yield Metric(name=name, kind="gauge", help=text, samples=(({}, float(value)),))
    found = Counter((each.what, each.kind) for each in status.findings)
    yield Metric(
        name="findings",
        kind="gauge",
        help="Things that were found wrong by any process and are not healed",
        samples=tuple(
            ({"what": what, "kind": kind}, float(number))
            for (what, kind), number in sorted(found.items())
        )
        or (({}, 0.0),),
    )
    yield Metric(
        name="healthy",
        kind="gauge",
        help="Whether nothing is known to be wrong",
        samples=(({}, float(status.healthy)),),
    )


def _counters(status: StoreStatus) -> Iterator[Metric]:
    counts = status.counts
    for name, text, value in (
        ("cache_hits_total", "Shards of warm and cold objects found in memory", counts.cache_hits),
        ("cache_misses_total", "Those that were not", counts.cache_misses),
        ("cache_admitted_total", "Shards taken into memory", counts.cache_admitted),
        ("cache_evicted_total", "Those that had to go for others", counts.cache_evicted),
        ("prefetched_total", "Shards fetched ahead of their readers", counts.prefetched),
        ("prefetched_used_total", "Those of them that were read", counts.prefetched_used),
        (
            "prefetched_unused_total",
            "Those that left memory before anybody read them",
            counts.prefetched_unused,
        ),
        ("fetched_total", "Shards read from warm and cold tiers", counts.fetched),
        ("degraded_reads_total", "Those that took other fragments than their own", counts.degraded),
        ("faults_total", "Segments of which a read met wrong bytes, or none", counts.faults),
        ("moves_total", "Steps of plans carried out", counts.moves),
    ):
        yield Metric(name=name, kind="counter", help=text, samples=(({}, float(value)),))


def _gauge(name: str, text: str, values: Mapping[str, float | None]) -> Metric:
    """A value per tier; one that is not known is left out."""
    samples = tuple(
        ({"tier": tier}, float(value)) for tier, value in values.items() if value is not None
    )
    return Metric(name=name, kind="gauge", help=text, samples=samples)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', '\\"')


class MetricsServer:
    """Answers `/metrics` until it is closed; a look at the store is kept for `keep_s`.

    Raises:
        ConfigError: the port is taken, or the host is none of ours.
    """

    def __init__(
        self, store: Store, *, host: str = "127.0.0.1", port: int = 0, keep_s: float = 5.0
    ):
        self._store, self._keep_s = store, keep_s
        self._looking = threading.Lock()
        self._text, self._until_s = "", -float("inf")
        handler = type("_Handler", (_Handler,), {"text": self.text})
        try:
            self._server = ThreadingHTTPServer((host, port), handler)
        except (OSError, OverflowError) as error:
            raise errors.ConfigError(
                f"{host}:{port} can't be listened on: {error}", remedy="choose another --port"
            ) from error
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, name="ds-metrics"
        )
        self._thread.daemon = True
        self._thread.start()

    @property
    def url(self) -> str:
        """Where a scraper finds it."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/metrics"

    def text(self) -> str:
        """The page; scrapers that come together share one look, which walks through all objects."""
        with self._looking:
            if time.monotonic() >= self._until_s:
                self._text = render(look(self._store))
                self._until_s = time.monotonic() + self._keep_s
            return self._text

    def close(self) -> None:
        """End it; requests under way are answered."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


class _Handler(BaseHTTPRequestHandler):
    """GET /metrics; the class is rebuilt for each server, with its `text`."""

    server_version = "deepseek-store"
    protocol_version = "HTTP/1.1"
    timeout = 30.0

    text: Callable[[], str]
    """Makes the page."""

    def do_GET(self) -> None:
        """Answer a scraper."""
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            self._answer(404, "only /metrics is here\n")
            return
        try:
            self._answer(200, self.text())
        except DeepSeekError as error:
            self._answer(503, f"{error}\n")

    def _answer(self, code: int, text: str) -> None:
        body = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Into the log, not onto stderr."""
        _LOG.debug("%s " + format, self.address_string(), *args)
