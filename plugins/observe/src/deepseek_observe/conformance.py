"""Conformance tests of this plugin: `ds-sdk check-plugin observe` runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from deepseek_core.testing import CommandConformance

_TIMES: Final = "bytes,time_us\n8,20\n1024,24\n1048576,40\n1073741824,8000\n"
_KERNEL: Final = {"ph": "X", "cat": "kernel", "name": "k", "pid": 0, "tid": 7, "ts": 5, "dur": 2}

_LINE: Final = """
import torch


def build():
    x = torch.randn(200, 1, generator=torch.Generator().manual_seed(0))
    data = torch.utils.data.TensorDataset(x, 3 * x)
    return torch.nn.Linear(1, 1), loss, data


def loss(model, batch):
    return torch.nn.functional.mse_loss(model(batch[0]), batch[1])
"""


class TestMonitor(CommandConformance):
    """The command `ds-sdk monitor`."""

    plugin = "observe"
    name = "monitor"

    @pytest.fixture
    def lines(self, tmp_path: Path) -> list[list[str]]:
        """One sample, and a dashboard."""
        once = ["--once", "--simulate", "2"]
        return [["--help"], once, [*once, "--json"], ["--grafana", str(tmp_path / "board.json")]]


class TestProfile(CommandConformance):
    """The command `ds-sdk profile`."""

    plugin = "observe"
    name = "profile"

    @pytest.fixture
    def lines(self, tmp_path: Path) -> list[list[str]]:
        """On a trace of one kernel."""
        path = tmp_path / "trace.json"
        path.write_text(json.dumps({"traceEvents": [_KERNEL]}))
        return [["--help"], [str(path)], [str(path), "--json"]]


class TestAdvise(CommandConformance):
    """The command `ds-sdk advise`."""

    plugin = "observe"
    name = "advise"

    @pytest.fixture
    def lines(self, tmp_path: Path) -> list[list[str]]:
        """On an environment, a log and a model, and on the machine that it runs on."""
        env, log = tmp_path / "job.env", tmp_path / "times.csv"
        env.write_text("export NCCL_P2P_DISABLE=1\n")
        log.write_text(_TIMES)
        return [
            ["--help"], [], ["--json"], ["--env", str(env), "--nccl-log", str(log), "--json"],
            ["--model", "7b", "--budget", "64gpus"],
        ]  # fmt: skip


class TestTune(CommandConformance):
    """The command `ds-sdk tune`."""

    plugin = "observe"
    name = "tune"

    @pytest.fixture
    def lines(self, tmp_path: Path) -> list[list[str]]:
        """On a line through some points."""
        path = tmp_path / "line.py"
        path.write_text(_LINE)
        target = f"{path}:build"
        return [["--help"], [target, "--json"]]
