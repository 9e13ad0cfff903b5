"""Recurrent layers: a hidden channel is a row of every gate and a column of the recurrence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from deepseek_compress.prune.classes import FIXED
from deepseek_compress.prune.rules.registry import Call, function
from deepseek_compress.prune.run import Run

_GATES = {
    "lstm": 4,
    "gru": 3,
    "rnn_tanh": 1,
    "rnn_relu": 1,
    "lstm_cell": 4,
    "gru_cell": 3,
    "rnn_tanh_cell": 1,
    "rnn_relu_cell": 1,
}


@function("lstm", "gru", "rnn_tanh", "rnn_relu")
def recurrent(run: Run, call: Call) -> None:
    """Layers of one hidden width, in one or two directions: channel j of all goes together."""
    x, states, weights, has_bias, layers = call.args[:5]
    outs = [each for each in call.out if isinstance(each, Tensor)]
    step = (
        len(weights) // (layers * (2 if call.args[7] else 1))
        if isinstance(weights, list | tuple)
        else 0
    )
    if step != (4 if has_bias else 2) or isinstance(layers, bool):
        _keep(run, [x], outs, "packed sequences or projections")
        return
    cells = [weights[start : start + step] for start in range(0, len(weights), step)]
    if any(run.parameters.locate(each) is None for cell in cells for each in cell):
        _keep(run, [x], outs, "the weights are computed, not parameters")
        return
    _tie_cells(run, call, cells, (x, states, outs))


def _tie_cells(run: Run, call: Call, cells: list[Any], how: tuple[Any, ...]) -> None:
    x, states, outs = how
    directions = 2 if call.args[7] else 1
    gates = _GATES[call.name.rpartition(".")[2]]
    hidden = run.parameters.vector(_name(run, cells[0][1]), 1, strong=True)
    inputs, rows = run.vector(x, -1), x.numel() / x.shape[-1]
    run.fix("input_size", inputs)
    for at, cell in enumerate(cells):
        if at and at % directions == 0:
            inputs = hidden.repeat(directions)
        _tie_cell(run, cell, (inputs, hidden, gates))
        run.work(rows * gates, inputs, hidden)
        run.work(rows * gates, hidden, hidden)
    hidden = run.classes.roots(hidden)
    for state in states if isinstance(states, list | tuple) else [states]:
        if run.mirror.knows(state):
            run.tie(run.vector(state, -1), hidden)
    run.fix("hidden_size", hidden)
    run.spread(hidden.repeat(directions), outs[0], -1)
    for state in outs[1:]:
        run.spread(hidden, state, -1)


def _tie_cell(run: Run, cell: Any, how: tuple[Tensor, Tensor, int]) -> None:
    """Tie one layer of one direction: weight_ih, weight_hh and biases."""
    inputs, hidden, gates = how
    rows = hidden.repeat(gates)
    into, back = _name(run, cell[0]), _name(run, cell[1])
    run.tie(run.parameters.vector(into, 1), inputs)
    run.tie(run.parameters.vector(back, 1), hidden)
    for each in cell:
        run.tie(run.parameters.vector(_name(run, each), 0, strong=True), rows)
    run.weight(into, 0, 1, "recurrent")
    run.weight(back, 0, 1, "recurrent")


def _name(run: Run, weight: Tensor) -> str:
    located = run.parameters.locate(weight)
    assert located is not None
    return located.name


@function("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
def cell(run: Run, call: Call) -> None:
    """One step, the states given."""
    x, states = call.args[0], call.args[1]
    weights = [each for each in call.args[2:6] if each is not None]
    outs = [call.out] if isinstance(call.out, Tensor) else list(call.out)
    given = [states] if isinstance(states, Tensor) else list(states)
    if any(run.parameters.locate(each) is None for each in weights):
        _keep(run, [x, *given], outs, "the weights are computed, not parameters")
        return
    gates, hidden = (
        _GATES[call.name.rpartition(".")[2]],
        run.parameters.vector(_name(run, weights[1]), 1, strong=True),
    )
    inputs = run.vector(x, -1)
    _tie_cell(run, weights, (inputs, hidden, gates))
    for state in given:
        if run.mirror.knows(state):
            run.tie(run.vector(state, -1), hidden)
    run.fix("input_size", inputs)
    run.fix("hidden_size", hidden)
    run.work(x.shape[0] * gates, inputs, hidden)
    run.work(x.shape[0] * gates, hidden, hidden)
    for out in outs:
        run.spread(run.classes.roots(hidden), out, -1)


def _keep(run: Run, inputs: list[Tensor], outs: list[Tensor], text: str) -> None:
    for each in inputs:
        if run.mirror.knows(each):
            run.pin(run.known(each), text)
    for out in outs:
        run.put(out, torch.full((1,) * out.dim(), FIXED))
