"""ResNeSt: residual networks with split attention, for pictures (Zhang et al. 2020).

With its deep stem, strides by average pooling in blocks and short cuts, radix 2. ResNeSt-50
and -101 have the names and shapes of the authors' release, so that its weights load.

Legend: N rows · C channels · H, W of a picture · h, w of the last map · D width of a token.
"""

from __future__ import annotations

from typing import Any

import attrs
import torch
from torch import Tensor, nn

from deepseek_core import errors
from deepseek_fusion import sizes
from deepseek_fusion.encoders.parts.split_attention import Bottleneck
from deepseek_fusion.protocol import (
    State,
    Tokens,
    check_floats,
    entered_mask,
    entered_state,
    entered_values,
)


def _divides(config: ResNeStConfig, _field: attrs.Attribute[int], value: int) -> None:
    sizes.count(config, _field, value)
    if any(planes % (config.radix * value) for planes in config.planes):
        raise errors.ConfigError(
            f"ResNeStConfig: planes {config.planes} must be multiples of radix x groups, "
            f"{config.radix} x {value}"
        )


@attrs.frozen(kw_only=True)
class ResNeStConfig:
    """Sizes of a ResNeSt.

    `blocks` and `planes` have one entry a stage; every stage but the first halves the map.
    `stem` is the stem's first width. With `small_pictures` the stem keeps their size, else it
    makes a quarter of it. `classes` of 0 means no classifier; `width` of 0 means tokens as
    wide as the last map.
    """

    blocks: tuple[int, ...] = attrs.field(
        default=(3, 4, 6, 3), converter=sizes.entries, validator=sizes.counts
    )
    planes: tuple[int, ...] = attrs.field(
        default=(64, 128, 256, 512), converter=sizes.entries, validator=sizes.counts
    )
    stem: int = attrs.field(default=32, validator=sizes.count)
    channels: int = attrs.field(default=3, validator=sizes.count)
    radix: int = attrs.field(default=2, validator=sizes.count)
    groups: int = attrs.field(default=1, validator=_divides)
    small_pictures: bool = False
    classes: int = attrs.field(default=0, validator=sizes.count_or_none)
    width: int = attrs.field(default=0, validator=sizes.count_or_none)

    def __attrs_post_init__(self) -> None:
        if len(self.blocks) != len(self.planes):
            raise errors.ConfigError(
                f"ResNeStConfig: one entry a stage, got blocks {self.blocks} and planes "
                f"{self.planes}"
            )

    @classmethod
    def named(cls, name: str, **changes: Any) -> ResNeStConfig:
        """Give a published configuration, or `resnest-small`, with changes of your own.

        Raises:
            ConfigError: no configuration of that name, or no such change.
        """
        if name not in _NAMED:
            raise errors.ConfigError(f"no ResNeSt {name!r}; there are {', '.join(sorted(_NAMED))}")
        fields = [field.name for field in attrs.fields(cls)]
        for change in changes:
            if change not in fields:
                raise errors.ConfigError(f"a ResNeSt has no {change!r}; it has {', '.join(fields)}")
        return cls(**{**_NAMED[name], **changes})


_NAMED: dict[str, dict[str, Any]] = {
    "resnest50": {"blocks": (3, 4, 6, 3), "stem": 32},
    "resnest101": {"blocks": (3, 4, 23, 3), "stem": 64},
    "resnest-small": {
        "blocks": (1, 1, 1), "planes": (16, 32, 64), "stem": 16, "small_pictures": True,
    },
}  # fmt: skip


class ResNeSt(nn.Module):
    """Encodes pictures (N, C, H, W) as one token a cell of the last map, row by row.

    The mask (N,) says which pictures are there. In training, batch normalization takes
    statistics over the batch, rows of missing pictures included, and needs two rows or more.
    `conv1`, `bn1` and `maxpool` are the stem; `_stages` names the stages, `layer1` and so on; `fc`
    classifies what was pooled, `project` brings cells to the width of tokens.
    """

    state_specs = ()

    def __init__(self, config: ResNeStConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ResNeStConfig()
        self.conv1 = _stem(config)
        self.bn1 = nn.BatchNorm2d(2 * config.stem)
        self.maxpool = nn.Identity() if config.small_pictures else nn.MaxPool2d(3, 2, padding=1)
        given, self._stages = 2 * config.stem, []
        for index, planes in enumerate(config.planes):
            self._stages.append(f"layer{index + 1}")
            self.add_module(self._stages[-1], _stage(config, index, given))
            given = planes * Bottleneck.expansion
        made = config.planes[-1] * Bottleneck.expansion
        self.fc = nn.Linear(made, config.classes) if config.classes else nn.Identity()
        self.project = nn.Linear(made, config.width) if config.width else nn.Identity()
        self.width = config.width or made
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Give logits (N, classes), or the pooled map where there is no classifier."""
        clean, _ = self._entered(x, None)
        return self.fc(self._map(clean).mean((2, 3)))

    def encode(self, x: Tensor, mask: Tensor | None = None, state: State | None = None) -> Tokens:
        """Encode pictures; there is no state, and only None or an empty one is taken.

        Raises:
            InputError: what came in does not fit; says what, where and what to do.
        """
        clean, there_n = self._entered(x, mask)
        state = entered_state(self.state_specs, x, state)
        tokens = self.project(self._map(clean).flatten(2).transpose(1, 2))
        there_ns = there_n.unsqueeze(1).expand(-1, tokens.shape[1])
        return Tokens(tokens * there_ns.unsqueeze(-1).to(tokens.dtype), there_ns, state)

    def _entered(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        check_floats(x, self.config.channels, ndim=4, channel_axis=1)
        if not torch.compiler.is_exporting():
            self._check_sizes(x)
        mask = entered_mask(x, mask, x.shape[:1])
        return entered_values(x, mask).to(self.bn1.weight.dtype), mask

    def _check_sizes(self, x: Tensor) -> None:
        if 0 in x.shape[2:]:
            raise errors.TensorMismatch(
                f"pictures of {x.shape[2]} x {x.shape[3]} have no pixels",
                remedy="leave them out, or mask them and give zeros of the usual size",
            )
        if self.training and x.shape[0] < 2:
            raise errors.TensorMismatch(
                f"{x.shape[0]} pictures have no batch statistics to train by",
                remedy="train on batches of two or more, or call eval() first",
            )

    def _map(self, x: Tensor) -> Tensor:
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        for name in self._stages:
            x = getattr(self, name)(x)
        return x


def _stem(config: ResNeStConfig) -> nn.Sequential:
    """Three convolutions 3x3 in place of one 7x7."""
    narrow, stride = config.stem, 1 if config.small_pictures else 2
    return nn.Sequential(
        nn.Conv2d(config.channels, narrow, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
        nn.Conv2d(narrow, narrow, 3, padding=1, bias=False),
        nn.BatchNorm2d(narrow),
        nn.ReLU(),
        nn.Conv2d(narrow, 2 * narrow, 3, padding=1, bias=False),
    )


def _stage(config: ResNeStConfig, index: int, given: int) -> nn.Sequential:
    planes = config.planes[index]
    blocks = [
        Bottleneck(
            given if first else planes * Bottleneck.expansion,
            planes,
            stride=2 if first and index else 1,
            radix=config.radix,
            groups=config.groups,
        )
        for first in (True, *[False] * (config.blocks[index] - 1))
    ]
    return nn.Sequential(*blocks)
