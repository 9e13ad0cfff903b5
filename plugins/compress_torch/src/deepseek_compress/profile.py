"""How large a module is: parameters, and multiply-accumulates for one sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import torch
from torch.utils.flop_counter import FlopCounterMode

from deepseek_compress.modules import call, check_module, evaluating, unfused
from deepseek_core import compression


def profile_with(model: Any, inputs: Mapping[str, Any]) -> compression.ModelProfile:
    """Parameters, tied ones counted once, and operations for these tensors of one sample.

    Raises:
        InputError: the model can't run on them.
    """
    return compression.ModelProfile(parameters=parameters_of(model), macs=macs_of(model, inputs))


def parameters_of(model: Any) -> int:
    """How many numbers are trained or frozen in a module, tied ones counted once."""
    return sum(parameter.numel() for parameter in check_module(model).parameters())


def macs_of(model: Any, inputs: Mapping[str, Any]) -> int:
    """Multiply-accumulates of a run on these tensors, in evaluation mode.

    Counts what is computed, however it is called: convolutions (transposed ones too), matrix
    products, recurrent layers, attention. Additions, normalizations and activations are free.
    """
    counter = FlopCounterMode(display=False, custom_mapping=_MORE)
    with evaluating(check_module(model)), unfused(), counter:
        call(model, inputs)
    return int(counter.get_total_flops()) // 2


def _recurrent(
    x_shape: Any, input_weight: Any, hidden_weight: Any, *_more: Any, out_shape: Any, **_: Any
) -> int:
    """One direction of one LSTM layer: two matrix products for each step and sample."""
    steps = x_shape[0] * x_shape[1]
    return int(2 * steps * (_size(input_weight) + _size(hidden_weight)))


def _attention(query: Any, key: Any, value: Any, *_more: Any, out_shape: Any, **_: Any) -> int:
    """Queries with keys, then weights with values: [..., positions, width] each."""
    heads = _size(query[:-2])
    return int(2 * heads * query[-2] * key[-2] * (query[-1] + value[-1]))


def _size(shape: Any) -> int:
    found = 1
    for size in shape:
        found *= size
    return found


_MORE: Final[dict[Any, Any]] = {
    torch.ops.aten.mkldnn_rnn_layer: _recurrent,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
}
