"""A trained translator as a model of CTranslate2, layer by layer.

CTranslate2 keeps fused projections as they are here: queries, keys and values in one matrix.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from deepseek_apps.translate.attention import CrossAttention, SelfAttention
from deepseek_apps.translate.model import Feed, Translator
from deepseek_apps.translate.special import BEGIN, END, NAMES, UNKNOWN


def convert(model: Translator, pieces: list[str], folder: Path) -> None:
    """Write a folder that `ctranslate2.Translator` opens.

    Its source is the tag of a language, pieces, and the end, as `Vocabulary.source` makes them.
    """
    from ctranslate2.specs import transformer_spec

    shape = model.shape
    layers = shape.encoder_layers, shape.decoder_layers
    spec = transformer_spec.TransformerSpec.from_config(layers, shape.heads, pre_norm=True)
    spec.config.unk_token, spec.config.bos_token = NAMES[UNKNOWN], NAMES[BEGIN]
    spec.config.eos_token, spec.config.decoder_start_token = NAMES[END], NAMES[BEGIN]
    spec.config.layer_norm_epsilon = model.encoded.eps
    spec.register_source_vocabulary(pieces)
    spec.register_target_vocabulary(pieces)
    _set_stack(spec.encoder, model, model.encoded)
    _set_stack(spec.decoder, model, model.decoded)
    _set_encoder(spec.encoder, model)
    _set_decoder(spec.decoder, model)
    spec.validate()
    spec.optimize(quantization=None)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _set_stack(spec: Any, model: Translator, norm: nn.LayerNorm) -> None:
    embeddings = spec.embeddings[0] if isinstance(spec.embeddings, list) else spec.embeddings
    embeddings.weight = _array(model.embedding.weight)
    spec.position_encodings.encodings = _array(model.positions)
    _set_norm(spec.layer_norm, norm)


def _set_encoder(spec: Any, model: Translator) -> None:
    for held, layer in zip(spec.layer, model.encoder, strict=True):
        _set_self(held.self_attention, layer.attend, layer.norms[0])
        _set_feed(held.ffn, layer.feed, layer.norms[1])


def _set_decoder(spec: Any, model: Translator) -> None:
    spec.projection.weight = _array(model.embedding.weight)
    for held, layer in zip(spec.layer, model.decoder, strict=True):
        _set_self(held.self_attention, layer.attend, layer.norms[0])
        _set_cross(held.attention, layer.cross, layer.norms[1])
        _set_feed(held.ffn, layer.feed, layer.norms[2])


def _set_self(spec: Any, layer: SelfAttention, norm: nn.LayerNorm) -> None:
    _set_norm(spec.layer_norm, norm)
    _set_linear(spec.linear[0], layer.project)
    _set_linear(spec.linear[1], layer.out)


def _set_cross(spec: Any, layer: CrossAttention, norm: nn.LayerNorm) -> None:
    _set_norm(spec.layer_norm, norm)
    _set_linear(spec.linear[0], layer.query)
    _set_linear(spec.linear[1], layer.project)
    _set_linear(spec.linear[2], layer.out)


def _set_feed(spec: Any, layer: Feed, norm: nn.LayerNorm) -> None:
    _set_norm(spec.layer_norm, norm)
    _set_linear(spec.linear_0, layer.first)
    _set_linear(spec.linear_1, layer.second)


def _set_linear(spec: Any, layer: nn.Linear) -> None:
    spec.weight, spec.bias = _array(layer.weight), _array(layer.bias)


def _set_norm(spec: Any, layer: nn.LayerNorm) -> None:
    spec.gamma, spec.beta = _array(layer.weight), _array(layer.bias)


def _array(tensor: torch.Tensor) -> Any:
    return tensor.detach().float().contiguous().numpy()
