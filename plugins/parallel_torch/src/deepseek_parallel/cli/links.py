"""A link as people write it: `100mbit`, `100mbit,1ms`, `12.5MB,50us`."""

from __future__ import annotations

import re
from typing import Final

from deepseek_core import errors, training

_SCALES: Final = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9}
_TIMES: Final = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_RATE: Final = re.compile(r"([0-9.]+)\s*([kKmMgG]?)(bit/s|bits|bit|bps|B/s|B)")
_TIME: Final = re.compile(r"([0-9.]+)\s*(s|ms|us)", re.IGNORECASE)


def read_link(text: str) -> training.Link:
    """The link that a text names; without a latency it has 50 us.

    Raises:
        ConfigError: it names none.
    """
    rate, _, latency = text.partition(",")
    found, waits = _RATE.fullmatch(rate.strip()), _TIME.fullmatch(latency.strip() or "50us")
    try:
        assert found is not None and waits is not None
        bytes_per_s = (
            float(found[1]) * _SCALES[found[2].lower()] / (1 if found[3].startswith("B") else 8)
        )
        latency_s = float(waits[1]) * _TIMES[waits[2].lower()]
        return training.Link(bytes_per_s=bytes_per_s, latency_s=latency_s)
    except (AssertionError, ValueError, errors.InputError) as error:
        raise errors.ConfigError(
            f"--link {text!r} is no rate and latency", remedy="write it like --link 100mbit,1ms"
        ) from error
