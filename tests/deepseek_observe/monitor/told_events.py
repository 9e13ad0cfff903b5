"""Events like those of our engines, one of each state."""

import attrs

from deepseek_core import events
from deepseek_observe.monitor.wire.sending import Sender


def _event(kind, **fields):
    made = attrs.make_class(kind, list(fields), bases=(events.Event,), frozen=True, kw_only=True)
    return made(time_s=1.0, **fields)


def tell_all(number):
    """Each state once; what counts has grown with the number."""
    sender = Sender()
    load = {"device_id": "cpu:0", "utilization": 0.5, "queued": 1, "done": 3}
    counts = {"realtime": 3 + number}
    told = [
        _event("SessionState", session="s", queued=counts, done=counts, missed=counts,
               devices=[load]),
        _event(
            "TierState", store="st", tier="hot", temperature="hot", used_bytes=5,
            capacity_bytes=10, hits=10 * number, reads=20 * number + 1,
        ),
        _event(
            "TrainingState", run="r", step=number, loss=0.5, imbalance=0.1, samples_per_s=100.0,
            bytes_sent=1, bytes_saved=1,
        ),
    ]  # fmt: skip
    for one in told:
        sender.send(one)
