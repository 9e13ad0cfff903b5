"""Transformer-XL: relative attention, with the memory as explicit input and output.

After Dai et al. 2019. Every token attends to itself and to the `memory` steps before it, as
the paper's evaluation has it; so what comes out does not depend on how the input was cut.

Legend: N rows · T steps · C features · D width of a token · M steps of memory · K = M + T.
"""

from __future__ import annotations

import attrs
import torch
from torch import Tensor, nn

from deepseek_core import errors
from deepseek_fusion import sizes
from deepseek_fusion.encoders.parts.adaptive_embedding import AdaptiveEmbedding
from deepseek_fusion.encoders.parts.relative_attention import RelativeLayer
from deepseek_fusion.protocol import (
    State,
    Tokens,
    check_floats,
    check_ids,
    entered_mask,
    entered_state,
    entered_values,
    passed_on,
)
from deepseek_fusion.states import StateSpec

_THERE = "transformer_xl_there"


def _even(config: TransformerXLConfig, field: attrs.Attribute[int], value: int) -> None:
    sizes.count(config, field, value)
    if value % 2:
        raise errors.ConfigError(f"TransformerXLConfig.width must be even, got {value}")


@attrs.frozen(kw_only=True)
class TransformerXLConfig:
    """Sizes of a Transformer-XL.

    It takes ids below `vocabulary`, or `features` numbers a step: give one of the two.
    `memory` is how many steps back a layer attends. `dropout` is that of every place where the
    paper has one, shares of attention too. `cutoffs` and `division` make the embedding adaptive.
    """

    vocabulary: int = attrs.field(default=0, validator=sizes.count_or_none)
    features: int = attrs.field(default=0, validator=sizes.count_or_none)
    width: int = attrs.field(default=64, validator=_even)
    layers: int = attrs.field(default=2, validator=sizes.count)
    heads: int = attrs.field(default=4, validator=sizes.count)
    head_width: int = attrs.field(default=16, validator=sizes.count)
    inner: int = attrs.field(default=128, validator=sizes.count)
    memory: int = attrs.field(default=64, validator=sizes.count)
    dropout: float = attrs.field(default=0.0, validator=sizes.share)
    cutoffs: tuple[int, ...] = attrs.field(
        default=(), converter=sizes.entries, validator=sizes.rising
    )
    division: int = attrs.field(default=1, validator=sizes.count)

    def __attrs_post_init__(self) -> None:
        if bool(self.vocabulary) == bool(self.features):
            raise errors.ConfigError(
                f"TransformerXLConfig takes ids or features, got vocabulary={self.vocabulary} "
                f"and features={self.features}",
                remedy="give one of the two",
            )
        if self.cutoffs and self.cutoffs[-1] >= self.vocabulary:
            raise errors.ConfigError(
                f"TransformerXLConfig.cutoffs must be within the vocabulary of "
                f"{self.vocabulary}, got {self.cutoffs}"
            )
        if self.width // self.division ** len(self.cutoffs) < 1:
            raise errors.ConfigError(
                f"width {self.width} divided by {self.division} for each of {len(self.cutoffs)} "
                "cutoffs leaves no number",
                remedy="use fewer cutoffs, or a smaller division",
            )


class TransformerXL(nn.Module):
    """Encodes ids (N, T) or features (N, T, C) as one token a step, whole or chunk by chunk.

    The state is the last M inputs of every layer and which of them are there. Long input is
    taken in segments, so that memory grows with T and not with its square; that changes no
    token. Ids are below `vocabulary`, which is 0 for features. `embed`, `layers` and `dropout` are
    what it is made of; `rates` the frequencies of the sinusoids of distances; `_memories` the
    names of the layers' states.
    """

    frame = 1

    def __init__(self, config: TransformerXLConfig) -> None:
        super().__init__()
        self.config, self.width, self.vocabulary = config, config.width, config.vocabulary
        self.embed = _embedding(config)
        self.layers = nn.ModuleList(
            RelativeLayer(
                config.width, config.heads, config.head_width, config.inner, config.dropout
            )
            for _ in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        exponents = torch.arange(0, config.width, 2, dtype=torch.float32) / config.width
        self.register_buffer("rates", 10000.0**-exponents, persistent=False)
        self._memories = tuple(f"transformer_xl_memory{i}" for i in range(config.layers))
        self.state_specs = (
            *(StateSpec(name=n, shape=(config.memory, config.width)) for n in self._memories),
            StateSpec(name=_THERE, shape=(config.memory,), dtype="bool"),
        )

    def encode(self, x: Tensor, mask: Tensor | None = None, state: State | None = None) -> Tokens:
        """Encode whole sequences, or the next chunk of each stream.

        Raises:
            InputError: what came in does not fit; says what, where and what to do.
        """
        self._check(x)
        mask = entered_mask(x, mask, x.shape[:2])
        state = entered_state(self.state_specs, x, state)
        clean = entered_values(x, mask)
        if self.config.vocabulary:
            self._check_range(clean)
        if not torch.compiler.is_exporting() and 0 in x.shape[:2]:
            return Tokens(self.rates.new_zeros(*x.shape[:2], self.width), mask, state)
        tokens, state = self._all_segments(self._embedded(clean), mask, state)
        return Tokens(tokens, mask, passed_on(self.state_specs, state))

    def _check(self, x: Tensor) -> None:
        if self.config.vocabulary:
            check_ids(x)
        else:
            check_floats(x, self.config.features, ndim=3, channel_axis=2)

    def _check_range(self, ids: Tensor) -> None:
        if torch.compiler.is_exporting() or not ids.numel():
            return
        least, most = int(ids.min()), int(ids.max())
        if least < 0 or most >= self.config.vocabulary:
            raise errors.InputError(
                f"ids go from {least} to {most}, the vocabulary from 0 to "
                f"{self.config.vocabulary - 1}",
                remedy="use the vocabulary that the encoder was made for, or mask these out",
            )

    def _embedded(self, x: Tensor) -> Tensor:
        if not self.config.vocabulary:
            x = x.to(self.embed.weight.dtype)
        return self.dropout(self.embed(x))

    def _all_segments(self, h_ntd: Tensor, mask: Tensor, state: State) -> tuple[Tensor, State]:
        if torch.compiler.is_exporting():  # a graph has no loop over a free length
            return self._segment(h_ntd, mask, state)
        step, found = max(self.config.memory, 128), []
        for start in range(0, h_ntd.shape[1], step):
            cut = slice(start, start + step)
            tokens, state = self._segment(h_ntd[:, cut], mask[:, cut], state)
            found.append(tokens)
        return torch.cat(found, 1), state

    def _segment(self, h_ntd: Tensor, mask: Tensor, state: State) -> tuple[Tensor, State]:
        there_nk = torch.cat([state[_THERE], mask], 1)
        may_ntk = self._window(mask.shape[1], h_ntd.device) & there_nk.unsqueeze(1)
        far_kd = self.dropout(self._distances(there_nk.shape[1], h_ntd))
        after = {_THERE: there_nk[:, mask.shape[1] :]}
        for name, layer in zip(self._memories, self.layers, strict=True):
            seen_nkd = torch.cat([state[name].to(h_ntd.dtype), h_ntd], 1)
            after[name] = seen_nkd[:, mask.shape[1] :]
            h_ntd = layer(h_ntd, seen_nkd, far_kd, may_ntk)
        return self.dropout(h_ntd) * mask.unsqueeze(-1).to(h_ntd.dtype), after

    def _window(self, steps: int, device: torch.device) -> Tensor:
        """Key k is memory or query: query t sees keys t to t + M, the last of them itself."""
        query = torch.arange(steps, device=device).unsqueeze(1)
        key = torch.arange(self.config.memory + steps, device=device).unsqueeze(0)
        return (key >= query) & (key <= query + self.config.memory)

    def _distances(self, keys: int, like: Tensor) -> Tensor:
        far = torch.arange(keys, device=like.device).flip(0).to(torch.float32)
        angles = far.unsqueeze(1) * self.rates.float().unsqueeze(0)
        return torch.cat([angles.sin(), angles.cos()], -1).to(like.dtype)


def _embedding(config: TransformerXLConfig) -> nn.Module:
    if config.features:
        return nn.Linear(config.features, config.width)
    return AdaptiveEmbedding(config.vocabulary, config.width, config.cutoffs, config.division)
