"""What models are judged by: the figure's name, and the unit that people read it in."""

from __future__ import annotations

from typing import Final

import attrs

from deepseek_core.contracts.errors import ConfigError

PLAIN: Final = "1"
"""The unit of a plain number, as a correlation."""
_WHOLE: Final = 10_000.0


@attrs.frozen(kw_only=True)
class Metric:
    """A figure of models, higher is better.

    Without a `unit` it is a share: told in percent, its differences in points (hundredths). With
    one, it and its differences are told in that; "1" is the unit of plain numbers.
    """

    name: str = "accuracy"
    unit: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.unit is not None and self.unit != self.unit.strip():
            raise ConfigError(
                f"the unit of {self.name} is {self.unit!r}",
                remedy='write it as "dB", or "1" for a plain number',
            )

    @property
    def is_share(self) -> bool:
        """Whether it goes from 0 to 1."""
        return self.unit is None

    @property
    def per_unit(self) -> float:
        """Differences as they are told, for each one of the figure: 100 points of a share."""
        return 100.0 if self.is_share else 1.0

    def limit(self, told: float) -> str:
        """`5 points`, `0.5 dB`: a difference that a person asked for, as it was written."""
        return f"{told:g} points" if self.is_share else self._in_unit(f"{told:g}")

    def text(self, value: float) -> str:
        """`92.00 %`, `31.4 dB`."""
        return f"{value * 100:.2f} %" if self.is_share else self._in_unit(_plain(value))

    def between(self, value: float, low: float, high: float) -> str:
        """`92.00 % (91.0 to 93.0)`: a figure with the ends of its interval."""
        ends = [f"{end * 100:.1f}" if self.is_share else _plain(end) for end in (low, high)]
        return f"{self.text(value)} ({' to '.join(ends)})"

    def difference(self, told: float, low: float | None = None, high: float | None = None) -> str:
        """`1.20 points (0.10 to 2.30)`, `0.5 dB`: what was multiplied by `per_unit` before."""
        text = f"{told:.2f} points" if self.is_share else self._in_unit(_plain(told))
        if low is None or high is None:
            return text
        ends = [f"{end:.2f}" if self.is_share else _plain(end) for end in (low, high)]
        return f"{text} ({' to '.join(ends)})"

    def _in_unit(self, number: str) -> str:
        return number if self.unit == PLAIN else f"{number} {self.unit}"


def _plain(value: float) -> str:
    return f"{value:.4g}" if abs(value) < _WHOLE else f"{value:,.0f}"
