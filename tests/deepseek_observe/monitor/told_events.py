"""The states that our engines tell, each of its own type."""

from deepseek_core import events
from deepseek_observe.monitor.wire.sending import Sender


def tell_all(number):
    """Each state once; what counts has grown with the number."""
    sender = Sender()
    load = events.DeviceLoad(device_id="cpu:0", utilization=0.5, queued=1, done=3)
    counts = {"realtime": 3 + number}
    tier = events.TierLoad(tier="warm", used_bytes=5, capacity_bytes=10)
    told = [
        events.SessionState(
            session="s", devices=[load], queued=counts, done=counts, missed=counts, refused=counts
        ),
        events.StoreState(
            store="st", objects=3, tiers=[tier], hot_reads=10 * number, cache_hits=5 * number,
            cache_misses=number, fetched=number, degraded=0,
        ),
        events.TrainingState(
            run="r", step=number, loss=0.5, imbalance=0.1, samples_per_s=100.0, bytes_sent=1,
            bytes_saved=1,
        ),
    ]  # fmt: skip
    for one in told:
        sender.send(one)
