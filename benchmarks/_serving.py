"""Open-loop load for servers, and the plain round-robin server that ours stands beside."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from deepseek_core import errors

Submit = Callable[[Mapping[str, Any], str, float | None], "Future[Any]"]
"""Inputs, latency class, deadline in seconds from now; may refuse by raising."""


@dataclass(kw_only=True)
class Shot:
    """One request of the load: when, what."""

    at_s: float
    inputs: Mapping[str, Any]
    latency: str
    deadline_s: float | None


@dataclass(kw_only=True)
class Served:
    """What became of a load; latencies from the planned arrival, so lateness to submit counts."""

    latency_s: list[float] = field(default_factory=list)
    offline: int = 0
    on_time: int = 0
    arrived: int = 0
    refused: int = 0
    dropped: int = 0
    lost: int = 0
    answers: dict[int, Any] = field(default_factory=dict)

    def quantile_s(self, share: float) -> float:
        ordered = sorted(self.latency_s)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def poisson(
    rng: random.Random, rate_per_s: float, seconds: float, make: Callable[[random.Random], Shot]
) -> list[Shot]:
    """Random arrivals over a time."""
    shots, at_s = [], rng.expovariate(rate_per_s)
    while at_s < seconds:
        shot = make(rng)
        shot.at_s = at_s
        shots.append(shot)
        at_s += rng.expovariate(rate_per_s)
    return shots


def fire(submit: Submit, shots: Sequence[Shot], *, threads: int = 8) -> Served:
    """Send every request at its time from so many threads; wait for all answers."""
    served, lock = Served(), threading.Lock()
    turn = itertools.count()
    pending: list[Future[Any]] = []
    ordered = sorted(shots, key=lambda shot: shot.at_s)
    begin_s = time.perf_counter() + 0.05

    def note(index: int, shot: Shot, future: Future[Any]) -> None:
        taken_s = time.perf_counter() - begin_s - shot.at_s
        with lock:
            error = future.exception()
            if error is not None:
                served.dropped += isinstance(error, errors.AdmissionRefused)
                served.lost += not isinstance(error, errors.AdmissionRefused)
                return
            assert index not in served.answers
            served.answers[index] = future.result()
            if shot.latency == "realtime":
                served.latency_s.append(taken_s)
                served.on_time += shot.deadline_s is None or taken_s <= shot.deadline_s
            else:
                served.offline += 1

    def work() -> None:
        while True:
            with lock:
                index = next(turn)
            if index >= len(ordered):
                return
            shot = ordered[index]
            time.sleep(max(0.0, begin_s + shot.at_s - time.perf_counter()))
            with lock:
                served.arrived += shot.latency == "realtime"
            try:
                future = submit(shot.inputs, shot.latency, shot.deadline_s)
            except errors.AdmissionRefused:
                with lock:
                    served.refused += 1
                continue
            with lock:
                pending.append(future)
            future.add_done_callback(lambda f, i=index, s=shot: note(i, s, f))

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for future in pending:
        future.exception()
    return served


class RoundRobinServer:
    """Each stage of each request to the next device that runs it; first come, first served."""

    def __init__(self, session: Any, graph: Any) -> None:
        from deepseek_core import LoadOptions

        planner = session.planner
        plan = session.plan(graph, latency="realtime")
        self._graph = graph
        self._pools, self._next, self._loaded = {}, {}, {}
        options = LoadOptions(latency="realtime", strict=True)
        for stage, choices in zip(graph.stages, plan.problem.stages, strict=True):
            able = [c.device_id for c in choices.allowed()]
            self._next[stage.name] = itertools.cycle(able)
            for device in able:
                slots = plan.problem.concurrency[device].slots
                if device not in self._pools:
                    self._pools[device] = ThreadPoolExecutor(max_workers=slots)
                executable = planner.pool.open(device).load(stage, options)
                executable.warmup(1)
                self._loaded[stage.name, device] = executable
        plan.close()

    def submit(self, inputs: Mapping[str, Any], *_: object) -> Future[Any]:
        """Start a request; stages follow each other through callbacks."""
        answer: Future[Any] = Future()
        tensors = dict(inputs)
        self._advance(0, tensors, answer)
        return answer

    def _advance(self, index: int, tensors: dict[str, Any], answer: Future[Any]) -> None:
        if index == len(self._graph.stages):
            answer.set_result({name: tensors[name] for name in self._graph.outputs})
            return
        stage = self._graph.stages[index]
        device = next(self._next[stage.name])
        run = self._loaded[stage.name, device].run
        mine = {spec.name: tensors[spec.name] for spec in stage.inputs}

        def then(future: Future[Any]) -> None:
            tensors.update(future.result())
            self._advance(index + 1, tensors, answer)

        self._pools[device].submit(run, mine).add_done_callback(then)

    def close(self) -> None:
        """Stop the workers, free the executables."""
        for pool in self._pools.values():
            pool.shutdown()
        for executable in self._loaded.values():
            executable.close()
