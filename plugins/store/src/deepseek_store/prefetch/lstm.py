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

    A step multiplies two matrices: embedding and input weights are folded into one table at load.
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
        # The hidden state is held doubled, for its gate is; its last entry stays 1 and adds the
        # offsets. Two products: one of all columns is large enough for OpenBLAS to start threads.
        gates, classes = 4 * hidden, len(weights.offset_c)
        both = np.zeros((hidden + 1, gates + classes), np.float32)
        both[:hidden, :gates] = 0.5 * weights.hidden_hg * halves
        both[:hidden, gates:] = 0.5 * weights.output_hc
        both[hidden, gates:] = weights.offset_c
        self._to_gates = np.ascontiguousarray(both[:, :gates])
        self._to_logits = np.ascontiguousarray(both[:, gates:])
        self._class = {int(delta): at for at, delta in enumerate(weights.inputs, start=1)}
        self._targets = [0, *map(int, weights.targets)]
        state = np.zeros(hidden + 1, np.float32)
        state[hidden] = 1.0
        out = np.zeros(gates + classes, np.float32)
        self._state, self._hidden, self._cell = state, state[:hidden], np.zeros_like(state[:hidden])
        self._gates, self._logits = out[:gates], out[gates:]
        self._open, self._new = out[: 3 * hidden], out[3 * hidden : gates]
        self._in, self._keep, self._shown = np.split(self._open, 3)
        self._least = 1.0 / self._share

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
        cell, hidden, new = self._cell, self._hidden, self._new
        self._gates += self._rows[seen]
        np.tanh(self._gates, self._gates)
        self._open += 1.0  # twice the gates
        new *= self._in
        cell *= self._keep
        cell += new
        cell *= 0.5
        np.tanh(cell, hidden)
        hidden *= self._shown
        np.dot(self._state, self._to_logits, self._logits)
        np.dot(self._state, self._to_gates, self._gates)
        return self._logits

    def _likely(self, block: int) -> Sequence[int]:
        logits = self._logits
        best = int(logits.argmax())
        found = block + self._targets[best]
        if best == 0 or found < 0:
            return ()
        logits -= logits[best]
        np.exp(logits, out=logits)
        return (found,) if float(logits.sum()) <= self._least else ()


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
