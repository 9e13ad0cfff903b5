"""Gradients of the delta LSTM and the optimizer, in numpy.

At the product's sizes a step takes about as long as torch's (benchmarks/prefetch.py), so torch is
no part of the product; the tests hold these gradients against torch's. Shapes: B windows,
T steps, C classes, E embedding, H hidden units, G = 4 H gate columns in the order i, f, o, g.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from deepseek_store.prefetch.lstm import EMBEDDING, HIDDEN, Floats, Ints

Arrays = dict[str, Floats]


def fresh(inputs: int, targets: int, rng: np.random.Generator) -> Arrays:
    """Random arrays to start from; the forget gate starts open."""
    gates, scale = 4 * HIDDEN, HIDDEN**-0.5

    def uniform(*shape: int) -> Floats:
        return rng.uniform(-scale, scale, shape).astype(np.float32)

    bias = np.zeros(gates, np.float32)
    bias[HIDDEN : 2 * HIDDEN] = 1.0
    return {
        "embedding_ce": rng.standard_normal((inputs, EMBEDDING)).astype(np.float32),
        "input_eg": uniform(EMBEDDING, gates),
        "hidden_hg": uniform(HIDDEN, gates),
        "bias_g": bias,
        "output_hc": uniform(HIDDEN, targets),
        "offset_c": np.zeros(targets, np.float32),
    }


class Adam:
    """Adam (Kingma and Ba, 2015) with clipped gradients and a rate that falls to zero."""

    def __init__(self, arrays: Arrays, rate: float, steps: int) -> None:
        self._arrays, self._rate, self._steps = arrays, rate, steps
        self._mean = {name: np.zeros_like(array) for name, array in arrays.items()}
        self._square = {name: np.zeros_like(array) for name, array in arrays.items()}

    def step(self, number: int, gradients: Mapping[str, Floats]) -> None:
        """Change the arrays in place; `number` counts from 0."""
        norm = float(np.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values())))
        clip = min(1.0, 1.0 / max(norm, 1e-12))
        share = number / self._steps
        warm = min(1.0, (number + 1) / 20)
        rate = self._rate * warm * 0.5 * (1.0 + np.cos(np.pi * share))
        rate *= (1 - 0.99 ** (number + 1)) ** 0.5 / (1 - 0.9 ** (number + 1))
        for name, gradient in gradients.items():
            mean, square = self._mean[name], self._square[name]
            clipped = gradient * np.float32(clip)
            mean += 0.1 * (clipped - mean)
            square += 0.01 * (clipped * clipped - square)
            self._arrays[name] -= np.float32(rate) * mean / (np.sqrt(square) + 1e-8)


def gradients(arrays: Arrays, seen_bt: Ints, wanted_bt: Ints, warm_up: int) -> tuple[float, Arrays]:
    """Mean cross entropy after `warm_up` steps of each window, and its gradients."""
    forward = Forward(arrays, seen_bt)
    hidden_tbh = forward.hidden[1:]
    late = hidden_tbh[warm_up:]
    flat = late.reshape(-1, late.shape[-1])
    labels = wanted_bt.T[warm_up:].reshape(-1)
    logits = flat @ arrays["output_hc"] + arrays["offset_c"]
    logits -= logits.max(axis=1, keepdims=True)
    np.exp(logits, out=logits)
    sums, count = logits.sum(axis=1), len(labels)
    rows = np.arange(count)
    loss = float(-np.log(np.maximum(logits[rows, labels] / sums, 1e-30)).mean())
    logits *= (1.0 / (count * sums))[:, None]
    logits[rows, labels] -= 1.0 / count
    d_hidden = np.zeros_like(hidden_tbh)
    d_hidden[warm_up:] = (logits @ arrays["output_hc"].T).reshape(late.shape)
    found = forward.backward(d_hidden)
    found["output_hc"] = flat.T @ logits
    found["offset_c"] = logits.sum(axis=0)
    return loss, found


class Forward:
    """All states of a batch of windows, kept for the way back; index 0 is before the first."""

    def __init__(self, arrays: Arrays, seen_bt: Ints) -> None:
        batch, steps = seen_bt.shape
        size = arrays["hidden_hg"].shape[0]
        # `_seen_tb`: class of each step and window
        self._arrays, self._seen_tb = arrays, np.ascontiguousarray(seen_bt.T)
        # [class, gate]: what a class adds to the gates
        self._table = arrays["embedding_ce"] @ arrays["input_eg"] + arrays["bias_g"]
        self.hidden = np.zeros((steps + 1, batch, size), np.float32)  # [step, window, unit]
        self.cell = np.zeros((steps + 1, batch, size), np.float32)
        # [step, window, 4 * units]: input, forget, output (0 to 1), candidate (-1 to 1)
        self.gates = self._table[self._seen_tb]
        for t in range(steps):
            gates = self.gates[t]
            gates += self.hidden[t] @ arrays["hidden_hg"]
            open_ = gates[:, : 3 * size]
            open_ *= 0.5
            np.tanh(gates, out=gates)
            open_ += 1.0
            open_ *= 0.5
            i, f, o, g = np.split(gates, 4, axis=1)
            np.multiply(f, self.cell[t], out=self.cell[t + 1])
            self.cell[t + 1] += i * g
            np.multiply(o, np.tanh(self.cell[t + 1]), out=self.hidden[t + 1])

    def backward(self, d_hidden_tbh: Floats) -> Arrays:
        """Gradients of all that lies below the hidden states; `d_hidden_tbh` is used up."""
        arrays, (steps, batch, size) = self._arrays, d_hidden_tbh.shape
        d_cell, d_gates = self._slopes()
        recurrent_gh = np.ascontiguousarray(arrays["hidden_hg"].T)
        d_c, new = np.zeros((2, batch, size), np.float32)
        for t in reversed(range(steps)):
            d_h, row = d_hidden_tbh[t], d_gates[t]
            np.multiply(d_h, d_cell[t], out=new)
            d_c += new
            row[:, :2] *= d_c[:, None]
            row[:, 2] *= d_h
            row[:, 3] *= d_c
            d_c *= self.gates[t, :, size : 2 * size]
            if t:
                d_hidden_tbh[t - 1] += row.reshape(batch, -1) @ recurrent_gh
        flat = d_gates.reshape(-1, 4 * size)
        hidden = self.hidden[:-1].reshape(-1, size)
        d_table = _summed(flat, self._seen_tb.reshape(-1), len(self._table))
        return {
            "embedding_ce": d_table @ arrays["input_eg"].T,
            "input_eg": arrays["embedding_ce"].T @ d_table,
            "hidden_hg": hidden.T @ flat,
            "bias_g": flat.sum(axis=0),
        }

    def _slopes(self) -> tuple[Floats, Floats]:
        """Slopes of the hidden state by the cell [TBH], and of each gate by its sum [TB4H].

        All steps at once: the way back is then a few products a step.
        """
        steps, batch, gates = self.gates.shape
        split = self.gates.reshape(steps, batch, 4, gates // 4)
        i, o, g = (split[:, :, n] for n in (0, 2, 3))
        tanh = np.tanh(self.cell[1:])
        slopes = np.empty_like(split)
        np.multiply(split[:, :, :3], 1.0 - split[:, :, :3], out=slopes[:, :, :3])
        slopes[:, :, 0] *= g
        slopes[:, :, 1] *= self.cell[:-1]
        slopes[:, :, 2] *= tanh
        np.multiply(i, 1.0 - g * g, out=slopes[:, :, 3])
        tanh *= tanh
        np.subtract(1.0, tanh, out=tanh)
        tanh *= o
        return tanh, slopes


def _summed(rows_ng: Floats, classes_n: Ints, count: int) -> Floats:
    """Sums of the rows of each class [C, G]; `np.add.at` takes several times as long."""
    order = np.argsort(classes_n, kind="stable")
    ordered = classes_n[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    found = np.zeros((count, rows_ng.shape[1]), np.float32)
    found[ordered[first]] = np.add.reduceat(rows_ng[order], first, axis=0)
    return found
