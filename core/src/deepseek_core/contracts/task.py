"""What kind of work a task is and how soon it is wanted."""

from __future__ import annotations

from enum import StrEnum


class Workload(StrEnum):
    """What the work is for."""

    INFERENCE = "inference"
    TRAINING = "training"


class LatencyClass(StrEnum):
    """`realtime` waits for an answer; `offline` wants the most work per second."""

    REALTIME = "realtime"
    OFFLINE = "offline"
