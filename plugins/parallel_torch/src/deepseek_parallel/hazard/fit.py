"""Fit the LSTM of a gap predictor on logs of failures; needs torch, what it makes does not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deepseek_core import console, errors
from deepseek_parallel.hazard.lstm import NOTHING_SEEN, NUM_FEATURES, OUTPUTS, Vector
from deepseek_parallel.hazard.seen import Seen

_HIDDEN: Final = 16
_STEPS: Final = 100  # gaps of one sequence
_BATCH: Final = 16
_EPOCHS: Final = 40
_RATE: Final = 3e-3
_RESOLUTION_S: Final = 60.0
_LEAST_GAPS: Final = 40


class _Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(NUM_FEATURES, _HIDDEN, batch_first=True)
        self.head = nn.Linear(_HIDDEN, len(OUTPUTS))
        nn.init.zeros_(self.head.weight)  # it begins as the running mean
        nn.init.zeros_(self.head.bias)

    def forward(self, seen: Tensor) -> Tensor:
        told: Tensor = self.head(self.lstm(seen)[0])
        return told


def fit(
    systems: Sequence[Sequence[float]], *, seed: int = 0, epochs: int = _EPOCHS
) -> dict[str, Vector]:
    """Weights that make the gaps of these systems likely; a minute on one core at most.

    Each system is the seconds between its failures, in order. Equal input, equal weights.

    Raises:
        InputError: fewer than 40 gaps in all systems.
    """
    total = sum(map(len, systems))
    if total < _LEAST_GAPS:
        raise errors.InputError(
            f"{total} gaps between failures are too few to learn from, {_LEAST_GAPS} are needed",
            remedy="use the weights that come with the package",
        )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = _Net()
        batches = _sequences(systems)
        rng = np.random.default_rng(seed)
        optimizer = torch.optim.Adam(net.parameters(), lr=_RATE)
        for _ in range(epochs):
            order = rng.permutation(len(batches))
            for begin in range(0, len(order), _BATCH):
                chosen = [batches[i] for i in order[begin : begin + _BATCH]]
                loss = _loss(net, [torch.stack(part) for part in zip(*chosen, strict=True)])
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
    return _weights(net)


def write_weights(weights: dict[str, Vector], path: Path) -> None:
    """Write them to a file that `read_weights` reads, whole or not at all.

    Raises:
        WriteError: it can't be written.
    """
    arrays: dict[str, Any] = dict(weights)
    with console.whole_file(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def _loss(net: _Net, batch: Sequence[Tensor]) -> Tensor:
    """Mean negative log-likelihood of the gaps, each read off a clock of whole minutes."""
    seen, mean_s, gap_s, counts = batch
    told = net(seen)
    log_scale, log_shape = (told[..., n].clamp(*OUTPUTS[n]) for n in range(len(OUTPUTS)))
    scale_s, shape = mean_s * torch.exp(log_scale), torch.exp(log_shape)
    early = torch.exp(-(((gap_s - _RESOLUTION_S / 2).clamp(min=0.0) / scale_s) ** shape))
    late = torch.exp(-(((gap_s + _RESOLUTION_S / 2) / scale_s) ** shape))
    likely = torch.log((early - late).clamp(min=1e-12))
    return -(likely * counts).sum() / counts.sum()


def _sequences(systems: Sequence[Sequence[float]]) -> list[tuple[Tensor, ...]]:
    """Stretches of each system that overlap by half, with zeros after a short one's end."""
    found = []
    for gaps_s in systems:
        columns = _columns(gaps_s)
        for begin in range(0, max(len(gaps_s) - _STEPS // 2, 1), _STEPS // 2):
            part = [column[begin : begin + _STEPS] for column in columns]
            short = _STEPS - len(part[0])
            wide = [np.pad(c, [(0, short)] + [(0, 0)] * (c.ndim - 1)) for c in part]
            wide[1][_STEPS - short :] = wide[2][_STEPS - short :] = 60.0  # weigh nothing
            found.append(tuple(torch.from_numpy(column) for column in wide))
    return found


def _columns(gaps_s: Sequence[float]) -> list[NDArray[np.float32]]:
    """What is seen before each gap, the running mean then, the gap, and what it counts."""
    past = Seen(sum(gaps_s) / len(gaps_s))
    seen, means_s = [NOTHING_SEEN], []
    for gap_s in gaps_s:
        means_s.append(past.running_s)
        seen.append(past.observe(gap_s))
    columns: list[Any] = [seen[:-1], means_s, gaps_s, np.ones(len(gaps_s))]
    return [np.asarray(column, np.float32) for column in columns]


def _weights(net: _Net) -> dict[str, Vector]:
    lstm: Any = net.lstm
    found = {
        "from_input": lstm.weight_ih_l0,
        "from_hidden": lstm.weight_hh_l0,
        "bias": lstm.bias_ih_l0 + lstm.bias_hh_l0,
        "head": net.head.weight,
        "head_bias": net.head.bias,
    }
    return {name: value.detach().numpy().copy() for name, value in found.items()}
