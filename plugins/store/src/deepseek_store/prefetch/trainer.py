"""Trains in a process of its own, so that the one that serves neither waits nor grows."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from deepseek_store.prefetch.lstm import Weights
from deepseek_store.prefetch.training import FEWEST_REQUESTS, Training

logger = logging.getLogger(__name__)

FIRST = 8_000  # requests before the first training
EVERY = 40_000  # requests between two trainings
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class Trainer:
    """Starts a training when one is due and hands over what came out; never blocks.

    At most one process at a time, on one thread and at the lowest priority. One that fails is
    logged, the weights in use stay. `kept` is where the last weights are kept between runs.
    """

    def __init__(
        self,
        *,
        kept: Path | None = None,
        training: Training | None = None,
        first: int = FIRST,
        every: int = EVERY,
    ) -> None:
        self._training, self._kept = training or Training(), kept
        # the number of requests at which the next training starts
        self._due = max(first, FEWEST_REQUESTS)
        self._every = every
        self._folder = tempfile.TemporaryDirectory(prefix="deepseek-prefetch-")
        self._process: subprocess.Popen[bytes] | None = None
        self._weights: Weights | None = None  # those of the last training, or kept from before
        self.failures = 0

    def kept_weights(self) -> Weights | None:
        """The weights of an earlier run, if there are any and they can be read."""
        if self._kept is None or not self._kept.exists():
            return None
        try:
            self._weights = Weights.load(self._kept)
        except (OSError, ValueError) as error:
            logger.warning("weights are left aside: %s", error)
        return self._weights

    def poll(self, history: Sequence[int], requests: int, lead: int) -> Weights | None:
        """New weights when a training has ended well; starts one when it is due."""
        if self._process is None:
            if requests >= self._due:
                self._due = requests + self._every
                self._start(history, lead)
            return None
        code = self._process.poll()
        if code is None:
            return None
        self._process = None
        return self._collect(code)

    def wait(self) -> Weights | None:
        """Wait for the training under way, if any; its weights."""
        if self._process is None:
            return None
        code, self._process = self._process.wait(), None
        return self._collect(code)

    def close(self) -> None:
        """End the training under way and remove its files."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.close()

    def _start(self, history: Sequence[int], lead: int) -> None:
        try:
            command = self._prepare(Path(self._folder.name), history, lead)
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **_ONE_THREAD},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            _yield_to_others(self._process.pid)
        except OSError as error:  # a full disk, too many processes: reads go on
            self._fail(str(error))

    def _prepare(self, folder: Path, history: Sequence[int], lead: int) -> list[str]:
        """Write what the process reads; its command."""
        np.save(folder / "requests.npy", np.fromiter(history, np.int64, len(history)))
        (folder / "new.npz").unlink(missing_ok=True)
        command = [sys.executable, "-m", "deepseek_store.prefetch.training"]
        command += [str(folder / "requests.npy"), str(folder / "new.npz")]
        command += [f"--ahead={lead}", f"--steps={self._training.steps}"]
        command += [f"--seed={self._training.seed}"]
        if self._weights is not None:
            self._weights.save(folder / "old.npz")
            command += ["--old", str(folder / "old.npz")]
        return command

    def _collect(self, code: int) -> Weights | None:
        new = Path(self._folder.name) / "new.npz"
        if code != 0:
            self._fail(f"it ended with status {code}")
            return None
        if not new.exists():  # the old ones are better
            return None
        try:
            self._weights = Weights.load(new)
            if self._kept is not None:
                self._weights.save(self._kept)
        except (OSError, ValueError) as error:
            self._fail(str(error))
        return self._weights

    def _fail(self, reason: str) -> None:
        self.failures += 1
        logger.warning("a training of the prefetcher failed, nothing changes: %s", reason)


def _yield_to_others(pid: int) -> None:
    """Give a process the lowest priority, where the system knows such a thing."""
    if hasattr(os, "setpriority"):
        os.setpriority(os.PRIO_PROCESS, pid, 19)
