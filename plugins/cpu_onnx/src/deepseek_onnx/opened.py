"""The sessions of a device: one opened to find out whether it loads is used by who loads it."""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from deepseek_core import Stage
from deepseek_onnx.parts import OnnxArtifact
from deepseek_onnx.sessions import CPU, Engine, Opened, Threads, open_stage
from deepseek_onnx.settings import Settings

Key = tuple[object, object, Threads]


class Sessions:
    """Opens sessions; safe from several threads.

    A session in use is shared: it runs from any number of threads. Of those that nobody uses
    only the last one stays, so that a model's weights are in memory once.
    """

    def __init__(self, settings: Settings, engine: Engine = CPU) -> None:
        self._settings, self._engine = settings, engine
        self._used: WeakValueDictionary[Key, Opened] = WeakValueDictionary()
        self._kept: tuple[Key, Opened] | None = None
        self._lock = threading.Lock()

    def keep(self, stage: Stage, threads: Threads) -> None:
        """Open a session and keep it for who loads the stage next.

        Raises:
            ArtifactError: the file is gone or changed.
            Exception: one of `vendor_errors.FAULTS` for what ONNX Runtime refuses.
        """
        key = _key(stage, threads)
        with self._lock:
            if key not in self._used:
                self._kept = None  # before the next one takes its memory
                opened = self._used[key] = self._new(stage, threads)
                self._kept = key, opened

    def open(self, stage: Stage, threads: Threads) -> Opened:
        """A session for a stage.

        Raises:
            as `keep`.
        """
        key = _key(stage, threads)
        with self._lock:
            found = self._used.get(key)
            self._kept = None
            if found is None:
                found = self._used[key] = self._new(stage, threads)
            return found

    def _new(self, stage: Stage, threads: Threads) -> Opened:
        return open_stage(stage, threads, self._settings, self._engine)

    def forget(self) -> None:
        """Let go of a session that nobody uses."""
        with self._lock:
            self._kept = None


def _key(stage: Stage, threads: Threads) -> Key:
    """What a session belongs to: equal files may hold other weights, so only the one loaded.

    Ids stand for what an `Opened` holds on to.
    """
    artifact = stage.artifact
    identity = artifact.identity if isinstance(artifact, OnnxArtifact) else (id(artifact),)
    constants = tuple((name, id(value)) for name, value in sorted(stage.constants.items()))
    return identity, constants, threads
