"""A small LSTM that predicts how far the next block lies from this one; served by numpy alone.

Classes are distances ("deltas"): the most frequent ones by number, 0 for any other (Hashemi et al.,
ICML 2018). Shapes: C classes, E embedding, H hidden units; gates in the order i, f, o, g.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import attrs
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

CLASSES = 512
EMBEDDING = 64
HIDDEN = 64
SHARE = 0.3  # probability of a block that is announced
PART = 128  # columns of one product in serving
PARTS = ("embedding_ce", "input_eg", "hidden_hg", "bias_g", "output_hc", "offset_c")
FORMAT = 1


@attrs.frozen(kw_only=True, eq=False)
class Weights:
    """All that serving needs: vocabularies and matrices, G = 4 H gate columns.

    `inputs` and `targets` hold the deltas of classes 1.. of what was seen and of what is predicted,
    `ahead` requests ahead.
    """

    inputs: Ints
    targets: Ints
    ahead: int
    embedding_ce: Floats
    input_eg: Floats
    hidden_hg: Floats
    bias_g: Floats
    output_hc: Floats
    offset_c: Floats

    def __attrs_post_init__(self) -> None:
        hidden = self.hidden_hg.shape[0]
        classes = len(self.targets) + 1
        expected = {
            "embedding_ce": (len(self.inputs) + 1, self.input_eg.shape[0]),
            "input_eg": (self.embedding_ce.shape[1], 4 * hidden),
            "hidden_hg": (hidden, 4 * hidden),
            "bias_g": (4 * hidden,),
            "output_hc": (hidden, classes),
            "offset_c": (classes,),
        }
        for part, shape in expected.items():
            found = getattr(self, part)
            if found.shape != shape:
                raise ValueError(f"weights: {part} has shape {found.shape}, expected {shape}")
            if not np.isfinite(found).all():
                raise ValueError(f"weights: {part} is not finite")

    def save(self, path: Path) -> None:
        """Write a plain .npz; it appears whole or not at all."""
        part = path.with_name(path.name + ".part")
        with part.open("wb") as file:
            np.savez(file, format=FORMAT, **attrs.asdict(self, recurse=False))
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ValueError: the file is not of this format.
        """
        try:
            with path.open("rb") as file, zipfile.ZipFile(file):  # np.load takes other kinds too
                file.seek(0)
                return cls._from(np.load(file, allow_pickle=False), path)
        except (KeyError, zipfile.BadZipFile, EOFError) as error:
            raise ValueError(f"{path} holds no weights of this program: {error}") from error

    @classmethod
    def _from(cls, stored: Mapping[str, NDArray[np.generic]], path: Path) -> Self:
        if (found := int(stored["format"])) != FORMAT:
            raise ValueError(f"{path}: format {found}, expected {FORMAT}")
        arrays = {name: stored[name] for name in (*PARTS, "inputs", "targets")}
        return cls(ahead=int(stored["ahead"]), **arrays)  # type: ignore[arg-type]


class LstmSource:
    """Predicts one block from the distances so far; announces nothing before it has weights.

    Embedding and input weights are folded into one table at load.
    """

    name = "lstm"

    def __init__(self, weights: Weights | None = None, *, share: float = SHARE) -> None:
        self._share = share
        self._last = -1
        self.weights: Weights | None = None
        if weights is not None:
            self.adopt(weights)

    def adopt(self, weights: Weights) -> None:
        """Serve these weights from now on, from a fresh state."""
        self.weights = weights
        hidden = weights.hidden_hg.shape[0]
        # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2: halved columns let one tanh serve all gates.
        halves = np.ones(4 * hidden, np.float32)
        halves[: 3 * hidden] = 0.5
        table = weights.embedding_ce @ weights.input_eg + weights.bias_g
        self._rows = list(np.ascontiguousarray(table * halves))
        self._weave(weights, halves)
        self._class = {int(delta): at for at, delta in enumerate(weights.inputs, start=1)}
        self._targets = [0, *map(int, weights.targets)]
        self._least = 1.0 / self._share

    def _weave(self, weights: Weights, halves: Floats) -> None:
        """Lay logits, gates and cell side by side, so that a step is few calls of numpy.

        The hidden state is held doubled, for its gate is; its last entry stays 1 and adds the
        offsets. The product is cut into parts of `PART` columns, each too small for any OpenBLAS
        to wake its threads for it.
        """
        hidden, gates, classes = len(weights.hidden_hg), len(halves), len(weights.offset_c)
        columns = -(-(classes + gates) // PART) * PART
        first = columns - gates
        both = np.zeros((hidden + 1, columns), np.float32)
        both[:hidden, :classes] = 0.5 * weights.output_hc
        both[hidden, :classes] = weights.offset_c
        both[:hidden, first:] = 0.5 * weights.hidden_hg * halves
        self._both = np.ascontiguousarray(both.reshape(hidden + 1, -1, PART).swapaxes(0, 1))
        self._state = np.append(np.zeros(hidden, np.float32), np.float32(1.0))
        self._hidden = self._state[:hidden]
        out = np.zeros(columns + hidden, np.float32)
        self._out, self._logits = out[:columns].reshape(-1, PART), out[:classes]
        self._gates, self._open = out[first:columns], out[first : columns - hidden]
        self._factors = out[first : first + 2 * hidden]  # of input and cell
        self._shown = out[columns - 2 * hidden : columns - hidden]
        self._new, self._cell = out[columns - hidden : columns], out[columns:]
        self._parts = out[columns - hidden :]
        self._ones, self._halves = np.ones_like(self._open), np.full_like(self._cell, 0.5)

    def observe(self, block: int, now_s: float) -> Sequence[int]:
        """The likely block some requests ahead, if any is likely enough."""
        last = self._last
        if block == last:
            return ()
        self._last = block
        if self.weights is None or last < 0:
            return ()
        self.step(self._class.get(block - last, 0))
        return self._likely(block)

    def step(self, seen: int) -> Floats:
        """Advance by one delta's class; the logits [C] (a view, valid until the next step)."""
        gates, opened, cell, hidden = self._gates, self._open, self._cell, self._hidden
        np.add(gates, self._rows[seen], gates)
        np.tanh(gates, gates)
        np.add(opened, self._ones, opened)  # twice the gates
        np.multiply(self._parts, self._factors, self._parts)
        np.add(cell, self._new, cell)
        np.multiply(cell, self._halves, cell)
        np.tanh(cell, hidden)
        np.multiply(hidden, self._shown, hidden)
        np.matmul(self._state, self._both, self._out)
        return self._logits

    def _likely(self, block: int) -> Sequence[int]:
        logits = self._logits
        best = int(logits.argmax())
        found = block + self._targets[best]
        if best == 0 or found < 0:
            return ()
        np.subtract(logits, logits[best : best + 1].copy(), logits)
        np.exp(logits, logits)
        return (found,) if np.add.reduce(logits) <= self._least else ()


def classes_of(deltas: Ints, vocabulary: Ints) -> Ints:
    """Class of each delta: its place in the vocabulary + 1, or 0."""
    order = np.argsort(vocabulary)
    known = vocabulary[order]
    at = np.minimum(np.searchsorted(known, deltas), len(known) - 1)
    return np.where(known[at] == deltas, order[at] + 1, 0)


def vocabulary_of(deltas: Ints, classes: int = CLASSES) -> Ints:
    """The most frequent deltas, at most `classes - 1`; of equals the smaller first."""
    values, counts = np.unique(deltas, return_counts=True)
    kept: Ints = values[np.lexsort((values, -counts))][: classes - 1]
    return kept
