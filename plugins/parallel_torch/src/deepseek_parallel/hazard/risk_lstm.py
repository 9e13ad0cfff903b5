"""An LSTM over the last days of a node; needs torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from deepseek_parallel.hazard.nodes import HISTORY, Floats, NodeDays
from deepseek_parallel.hazard.risk import RiskModel

_HIDDEN: Final = 32
_EPOCHS: Final = 3
_BATCH: Final = 512
_RATE: Final = 3e-3
_QUIET: Final = 20  # nodes without a failure that are learned from for each that failed


class _Net(nn.Module):
    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, _HIDDEN, batch_first=True)
        joined = nn.Linear(_HIDDEN + num_features, _HIDDEN)
        self.head = nn.Sequential(joined, nn.ReLU(), nn.Linear(_HIDDEN, 1))

    def forward(self, history: Tensor, features: Tensor) -> Tensor:
        last = self.lstm(history)[0][:, -1]
        told: Tensor = self.head(torch.cat([last, features], dim=1))[:, 0]
        return told


class LstmRisk(RiskModel):
    """An LSTM over 28 days, beside the features of `NodeDays`; of what is quiet a sample counts."""

    name = "LSTM over 28 days"

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def fit(self, systems: Sequence[NodeDays], until: Sequence[int]) -> None:
        """Train three epochs; equal input, equal weights."""
        with torch.random.fork_rng():
            torch.manual_seed(self._seed)
            rng = np.random.default_rng(self._seed)
            history, features, failed = self._sample(systems, until, rng)
            self._mean, self._spread = features.mean(dim=0), features.std(dim=0) + 1e-6
            features = (features - self._mean) / self._spread
            self._net = net = _Net(features.shape[1])
            optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
            for _ in range(_EPOCHS):
                for chosen in torch.from_numpy(rng.permutation(len(failed))).split(_BATCH):
                    said = net(history[chosen], features[chosen])
                    loss = nn.functional.binary_cross_entropy_with_logits(said, failed[chosen])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()

    def risk(self, system: NodeDays, day: int) -> Floats:
        """The chance, as if a sample of the quiet had been all: put back to the true odds."""
        features = (torch.from_numpy(system.at(day)) - self._mean) / self._spread
        with torch.no_grad():
            odds = self._net(torch.from_numpy(system.history(day)), features) + self._log_kept
        return np.asarray(torch.sigmoid(odds).numpy())

    def _sample(
        self, systems: Sequence[NodeDays], until: Sequence[int], rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All that failed, and so many that did not."""
        days = [
            (s, day, s.counts[day] > 0)
            for s, end in zip(systems, until, strict=True)
            for day in range(HISTORY, end)
        ]
        positives = sum(int(failed.sum()) for _, _, failed in days)
        kept = min(1.0, _QUIET * positives / max(sum(len(failed) for *_, failed in days), 1))
        self._log_kept = float(np.log(kept)) if kept else 0.0
        parts: list[tuple[Any, Any, Any]] = []
        for system, day, failed in days:
            mask = failed | (rng.random(len(failed)) < kept)
            if mask.any():
                parts.append((system.history(day)[mask], system.at(day)[mask], failed[mask]))
        history, features, failed = map(np.concatenate, zip(*parts, strict=True))
        return (
            torch.from_numpy(history),
            torch.from_numpy(features),
            torch.from_numpy(failed.astype(np.float32)),
        )
