"""What is served: the page, its stream, the past, metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from deepseek_observe.monitor.alerts import Rule
from deepseek_observe.monitor.families import PANELS
from deepseek_observe.monitor.history.history import History
from deepseek_observe.monitor.history.past import charts
from deepseek_observe.monitor.web.guard import App, Guard
from deepseek_observe.monitor.web.hub import Hub
from deepseek_observe.monitor.web.metrics import Metrics
from deepseek_observe.monitor.web.page import page

LONGEST_S: Final = 86_400.0
"""How far back the page may ask."""
_JSON: Final = "application/json"


class Routes:
    """The answers; each is short, and the past is read in a thread, one question at a time."""

    def __init__(
        self, hub: Hub, metrics: Metrics, history: History | None, rules: tuple[Rule, ...]
    ) -> None:
        self._hub, self._metrics, self._history = hub, metrics, history
        self._page, self._policy = page(rules)
        self._one = asyncio.Semaphore(1)

    async def page(self, _request: Request) -> Response:
        """The page."""
        headers = {"content-security-policy": self._policy}
        return Response(self._page, media_type="text/html", headers=headers)

    async def metrics(self, request: Request) -> Response:
        """What Prometheus scrapes."""
        text, kind = self._metrics.text(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": kind})

    async def events(self, request: Request) -> Response:
        """The stream of the page."""
        device = request.query_params.get("device")
        if device is not None and not self._hub.knows(device):
            return Response("no such device\n", 404, media_type="text/plain")
        if self._hub.is_full:
            return Response("too many readers\n", 503, {"retry-after": "10"}, "text/plain")
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        return StreamingResponse(self._hub.stream(device), media_type="text/event-stream")

    async def past(self, request: Request) -> Response:
        """The last seconds of the charts, from the history."""
        try:
            seconds = float(request.query_params.get("seconds", "3600"))
        except ValueError:
            seconds = -1
        if not 1 <= seconds <= LONGEST_S:
            return Response(f"seconds: 1 to {LONGEST_S:g}\n", 400, media_type="text/plain")
        device = request.query_params.get("device")
        async with self._one:
            found = await run_in_threadpool(self._charts, seconds, device)
        return Response(found, media_type=_JSON)

    def _charts(self, seconds: float, device: str | None) -> bytes:
        until_s = time.time()
        since_s = until_s - seconds
        wanted = {family.name for family in PANELS}
        tables: Iterator[Any] = iter(())
        if self._history is not None:
            tables = self._history.tables(since_s, wanted)
        return msgspec.json.encode(charts(tables, since_s, until_s, device))


def make_app(
    hub: Hub,
    metrics: Metrics,
    history: History | None,
    rules: tuple[Rule, ...],
    *,
    token: str,
    names: tuple[str, ...],
) -> App:
    """The application, guarded."""
    routes = Routes(hub, metrics, history, rules)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> Any:
        hub.run_in(asyncio.get_running_loop())
        yield

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/", routes.page),
            Route("/metrics", routes.metrics),
            Route("/events", routes.events),
            Route("/history", routes.past),
        ],
    )
    return Guard(app, token, names)
