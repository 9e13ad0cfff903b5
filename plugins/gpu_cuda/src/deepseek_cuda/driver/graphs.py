"""CUDA graphs of what is launched again and again: one call instead of one for each kernel."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from contextlib import suppress
from typing import Final

from deepseek_cuda.driver.api import CudaApi, CudaFault

# A batch that comes in many sizes would fill the device's memory with graphs.
_MOST: Final = 64
_EAGER: Final = 0


class GraphCache:
    """Graphs of one stream by what they depend on: every address and number of their launches.

    The first run of a key is launched as it is, the second is captured, later ones replay. What
    the driver refuses to capture is launched as it is for ever, and so is what comes when the
    cache is full.
    """

    def __init__(self, api: CudaApi, stream: int) -> None:
        self._api, self._stream = api, stream
        self._seen: set[Hashable] = set()
        self._graphs: dict[Hashable, int] = {}

    def run(self, key: Hashable, launch: Callable[[], None]) -> None:
        """Put the launches on the stream.

        Raises:
            CudaFault: the driver refused a launch.
        """
        graph = self._graphs.get(key)
        if graph is None and key in self._seen:
            graph = self._graphs[key] = self._captured(launch)
        if graph:
            self._api.launch_graph(graph, self._stream)
            return
        launch()
        if len(self._seen) < _MOST:
            self._seen.add(key)

    def close(self) -> None:
        """Free the graphs; none may be on the stream."""
        for graph in filter(None, self._graphs.values()):
            self._api.destroy_graph(graph)
        self._graphs.clear()
        self._seen.clear()

    def _captured(self, launch: Callable[[], None]) -> int:
        try:
            self._api.begin_capture(self._stream)
        except CudaFault:
            return _EAGER
        try:
            launch()
        except CudaFault:
            with suppress(CudaFault):  # it ends the capture and gives no graph
                self._api.destroy_graph(self._api.end_capture(self._stream))
            return _EAGER
        try:
            return self._api.end_capture(self._stream)
        except CudaFault:
            return _EAGER
