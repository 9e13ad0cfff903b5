import socket

from deepseek_core import TierSpec, hookimpl, hooks

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
    line.connect(("127.0.0.1", 9))


@hookimpl(hooks.ds_register_storage_tiers)
def tiers(ctx):
    return [
        TierSpec(
            name="asks_for_updates",
            temperature="hot",
            schemes=["bad"],
            factory="bad_samples.tiers:Sound",
        )
    ]
