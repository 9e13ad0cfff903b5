"""A model's stages with their calibrated costs as a task graph."""

from __future__ import annotations

from deepseek_core.schedule.dag.graph import TaskGraph
from deepseek_core.schedule.of_problem import task_graph
from deepseek_core.schedule.problem import Candidate, Problem


def graph_of_problem(problem: Problem, *, name: str = "model") -> TaskGraph:
    """Stages as tasks, slots of devices as devices; median costs in seconds.

    The costs are those that the history knows, or the devices' own priors. They include what moves
    between host and device.

    Raises:
        NoDevice: a stage that no device can run.
    """
    return task_graph(problem, _median_s, name=name, deviation=_deviation_s)


def _median_s(candidate: Candidate) -> float:
    assert candidate.estimate is not None
    return candidate.estimate.seconds


def _deviation_s(candidate: Candidate) -> float:
    """Half the width of the interval between the quantiles at one sigma."""
    assert candidate.estimate is not None
    return (candidate.estimate.quantile(1.0) - candidate.estimate.quantile(-1.0)) / 2
