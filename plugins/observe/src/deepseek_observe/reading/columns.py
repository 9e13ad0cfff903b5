"""Rows collected piece by piece, then made a `Timeline`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from deepseek_core import errors
from deepseek_observe.timeline.classes import HOST, Class
from deepseek_observe.timeline.record import COLUMNS, Column, Timeline


class Columns:
    """A builder; `texts` numbers each different name."""

    def __init__(self) -> None:
        self._pieces: dict[str, list[Column]] = {name: [] for name in COLUMNS if name != "launches"}
        self._numbers: dict[str, int] = {}

    def numbers(self, texts: Iterable[str]) -> list[int]:
        """The number of each text, a new one where it is seen for the first time."""
        known = self._numbers
        return [known.setdefault(text, len(known)) for text in texts]

    def add(self, **columns: Any) -> None:
        """Take a piece: a list or an array for each column but `launches`.

        Raises:
            InputError: a number that does not fit into 64 bits.
        """
        for name, pieces in self._pieces.items():
            try:
                pieces.append(np.asarray(columns[name], np.int64))
            except OverflowError as error:
                raise errors.InputError(
                    f"{name} of the trace hold a number beyond 64 bits",
                    remedy="see whether the file was written whole, and by which tool",
                ) from error

    def timeline(
        self,
        *,
        source: str,
        facts: Mapping[str, Any],
        left_out: Mapping[str, int],
        origin_ns: int | None = None,
    ) -> Timeline:
        """All rows in order of their start, each with the row of its launch.

        Starts are counted from `origin_ns`, or from the first row.
        """
        columns: dict[str, Column] = {}
        for name, pieces in self._pieces.items():
            columns[name] = np.concatenate(pieces) if pieces else np.zeros(0, np.int64)
            pieces.clear()
        origin = origin_ns
        if origin is None:
            origin = int(columns["starts"].min()) if len(columns["starts"]) else 0
        columns["starts"] -= origin
        columns["ends"] -= origin
        order = np.lexsort((-columns["ends"], columns["starts"]))
        for name in columns:
            columns[name] = columns[name][order]
        columns["launches"] = _launches(columns)
        return Timeline(
            **columns,
            texts=tuple(self._numbers),
            source=source,
            origin_ns=origin,
            facts=dict(facts),
            left_out={why: count for why, count in left_out.items() if count},
        )


def _launches(columns: Mapping[str, Column]) -> Column:
    """For each row of a device, the row of the call of the host with its correlation."""
    devices, correlations = columns["devices"], columns["correlations"]
    found = np.full(len(devices), -1, np.int64)
    calls = np.flatnonzero(
        (devices == HOST)
        & (correlations > 0)
        & np.isin(columns["classes"], [Class.LAUNCH, Class.WAIT, Class.CALL])
    )
    works = np.flatnonzero((devices != HOST) & (correlations > 0))
    if not len(calls) or not len(works):
        return found
    order = np.argsort(correlations[calls], kind="stable")
    sorted_ = correlations[calls][order]
    place = np.minimum(np.searchsorted(sorted_, correlations[works]), len(sorted_) - 1)
    hits = sorted_[place] == correlations[works]
    found[works[hits]] = calls[order[place[hits]]]
    return found
