"""A predictor that has seen the failures of a log."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deepseek_core import errors
from deepseek_parallel.hazard.gaps import GapPredictor, failure_predictor
from deepseek_parallel.hazard.log import FailureLog, read_logs


def predictor_of_log(
    path: str | Path, *, system: str | None = None, nodes: int | None = None
) -> GapPredictor:
    """A `failure_predictor` that has seen the failures of a system in a log.

    `nodes` is how many nodes of the system a training takes, all by default: it fails as much more
    seldom. The log is as for `ds-sdk train failures`.

    Raises:
        ConfigError: no such system, several and none named, or more nodes than it has.
        InputError: the log can't be read, or has fewer than two failures of the system.
    """
    log = system_of(read_logs(Path(path)), system)
    gaps_s = log.gaps_s
    if not len(gaps_s):
        raise errors.InputError(
            f"{path} has no two failures of system {log.system} at different times",
            remedy="give a longer log, or the hours between failures that you expect",
        )
    if nodes is not None and not 1 <= nodes <= log.num_nodes:
        raise errors.ConfigError(
            f"a training on {nodes} nodes of system {log.system}, which has {log.num_nodes}",
            remedy="say how many nodes the system has, in the log's column nodes",
        )
    gaps_s = gaps_s * (1 if nodes is None else log.num_nodes / nodes)
    predictor = failure_predictor(float(gaps_s.mean()))
    for gap_s in gaps_s.tolist():
        predictor.observe(gap_s)
    return predictor


def system_of(logs: Sequence[FailureLog], name: str | None) -> FailureLog:
    """The system of a name; the only one, if there is none.

    Raises:
        ConfigError: there is no such system, or there are several.
    """
    found = [log for log in logs if name in (None, log.system)]
    if len(found) != 1:
        told = f"no system {name!r}" if not found else f"{len(found)} systems"
        names = ", ".join(log.system for log in logs[:20])
        raise errors.ConfigError(f"the log has {told}", remedy=f"use one of {names}")
    return found[0]
