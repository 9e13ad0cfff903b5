"""Some steps of a training as a trace for each rank, which `ds-sdk profile` and Perfetto read."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import attrs
import torch

from deepseek_core import errors
from deepseek_parallel.ranks import Ranks
from deepseek_parallel.trainer.checks import check_whole
from deepseek_parallel.trainer.events import Event

_LOG = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Trace:
    """Record `steps` steps after the first `skip`, into rank0.json.gz and so on of a `folder`.

    The first steps of a training are not like the others: they load kernels and fill caches.
    """

    folder: Path = attrs.field(converter=Path)
    skip: int = 3
    steps: int = 10

    def __attrs_post_init__(self) -> None:
        check_whole("skip of a trace", self.skip)
        check_whole("steps of a trace", self.steps)


class Tracer:
    """A callback that records; `close` ends a recording that was not to its end."""

    def __init__(self, trace: Trace, ranks: Ranks) -> None:
        self._trace, self._ranks = trace, ranks
        self._first: int | None = None  # the step before those that are recorded
        self._profile: torch.profiler.profile | None = None
        self._is_done = False
        if ranks.rank == 0 and (old := sorted(trace.folder.glob("rank*.json.gz"))):
            raise errors.ConfigError(
                f"{trace.folder} has traces of another run, as {old[0].name}",
                remedy="give another folder, or remove them: those of two runs would be taken "
                "for ranks of one",
            )

    def __call__(self, event: Event) -> None:
        """Begin after a step, and end after another one, or with the training."""
        if self._is_done or event.kind not in ("step", "end"):
            return
        if self._first is None:  # a training that is resumed begins somewhere
            self._first = event.step - 1 + self._trace.skip
        if self._profile is None:
            if event.kind == "step" and event.step >= self._first:
                self._begin()
        elif event.step >= self._first + self._trace.steps or (
            event.kind == "end" and event.step > self._first
        ):
            self._write()

    def close(self) -> None:
        """End a recording; what was not written is gone, and told."""
        if not self._is_done:
            _LOG.warning(
                "no trace in %s: the training ended within the first %d steps, which are left "
                "out, or by an error",
                self._trace.folder,
                self._trace.skip,
            )
        self._end()

    def _end(self) -> None:
        self._is_done = True
        if self._profile is not None:
            self._profile.stop()
            self._profile = None

    def _begin(self) -> None:
        # Else Kineto writes two lines of its own to the stderr of each rank.
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")
        self._profile = torch.profiler.profile()
        self._profile.start()

    def _write(self) -> None:
        found = self._profile
        assert found is not None
        self._end()
        path = self._trace.folder / f"rank{self._ranks.rank}.json.gz"
        part = path.with_name(f".{path.name}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            found.export_chrome_trace(str(part))
            part.replace(path)
        except OSError as error:
            raise errors.WriteError(
                f"the trace {path} can't be written: {error.strerror or error}",
                remedy="give a folder that can be written, with space for some megabytes",
            ) from error
        finally:
            with suppress(OSError):
                part.unlink()


@contextmanager
def traced(trace: Trace | None, ranks: Ranks) -> Iterator[tuple[Tracer, ...]]:
    """What records a training, as callbacks: one, or none.

    Raises:
        ConfigError: the folder has traces of another run.
    """
    if trace is None:
        yield ()
        return
    tracer = Tracer(trace, ranks)
    try:
        yield (tracer,)
    finally:
        tracer.close()
