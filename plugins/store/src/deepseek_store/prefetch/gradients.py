"""Gradients of the delta LSTM and the optimizer, in numpy.

At the product's sizes a step takes 1.4 times torch's (benchmarks/prefetch.py), so torch is
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
    logits /= logits.sum(axis=1, keepdims=True)
    rows = np.arange(len(labels))
    loss = float(-np.log(np.maximum(logits[rows, labels], 1e-30)).mean())
    logits[rows, labels] -= 1.0
    logits /= len(labels)
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
        self._arrays, self._seen_tb = arrays, np.ascontiguousarray(seen_bt.T)
        self._table = arrays["embedding_ce"] @ arrays["input_eg"] + arrays["bias_g"]
        self.hidden = np.zeros((steps + 1, batch, size), np.float32)
        self.cell = np.zeros((steps + 1, batch, size), np.float32)
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
        """Gradients of all that lies below the hidden states."""
        arrays, (steps, batch, size) = self._arrays, d_hidden_tbh.shape
        d_gates = np.empty_like(self.gates)
        d_h, d_c = np.zeros((2, batch, size), np.float32)
        for t in reversed(range(steps)):
            i, f, o, g = np.split(self.gates[t], 4, axis=1)
            tanh = np.tanh(self.cell[t + 1])
            d_h = d_h + d_hidden_tbh[t]
            d_c = d_c + d_h * o * (1.0 - tanh * tanh)
            d_i, d_f, d_o, d_g = np.split(d_gates[t], 4, axis=1)
            d_i[:] = d_c * g * i * (1.0 - i)
            d_f[:] = d_c * self.cell[t] * f * (1.0 - f)
            d_o[:] = d_h * tanh * o * (1.0 - o)
            d_g[:] = d_c * i * (1.0 - g * g)
            d_c = d_c * f
            d_h = d_gates[t] @ arrays["hidden_hg"].T
        flat = d_gates.reshape(-1, 4 * size)
        hidden = self.hidden[:-1].reshape(-1, size)
        d_table = np.zeros_like(self._table)
        np.add.at(d_table, self._seen_tb.reshape(-1), flat)
        return {
            "embedding_ce": d_table @ arrays["input_eg"].T,
            "input_eg": arrays["embedding_ce"].T @ d_table,
            "hidden_hg": hidden.T @ flat,
            "bias_g": flat.sum(axis=0),
        }
