"""Several modalities in one model: encoders, a join, a head for each; any subset may be there.

    model = FusionModel({"text": text, "sound": sound}, FusionShape(classes=10))
    answer = model({"text": ids, "sound": wave})  # or one of them alone

A modality that is left out, and a row that its mask takes out, are missing: they change nothing.
What a row without any modality would get is refused, for no answer to it is right.

Legend: B samples, T tokens, D width, C classes, E width of a projection, M modalities.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import attrs
import torch
from torch import nn
from torch.nn import functional

from deepseek_core import errors
from deepseek_fusion.join.contract import Parts, masked_mean, present_bm
from deepseek_fusion.join.named import make_join
from deepseek_fusion.join.shape import JoinShape
from deepseek_fusion.modality_dropout import drop_modalities
from deepseek_fusion.protocol import Encoder

Batch = Mapping[str, torch.Tensor]


@attrs.frozen(kw_only=True)
class FusionShape:
    """How modalities are joined: `join` by name, sizes, and shares of what training drops.

    Raises:
        ConfigError: a size or a share that can't be.
    """

    classes: int
    join: str = "gate"
    width: int = 32
    heads: int = 4
    dropout: float = 0.1
    modality_dropout: float = 0.2

    def __attrs_post_init__(self) -> None:
        if self.classes < 2:
            raise errors.ConfigError(
                f"a model tells {self.classes} classes apart",
                remedy="give 2 or more: with one class there is nothing to learn",
            )
        if not 0 <= self.modality_dropout < 1:
            raise errors.ConfigError(
                f"modality_dropout must be from 0 to below 1, got {self.modality_dropout}",
                remedy="give 0.2; 0 turns it off",
            )

    def of_join(self, modalities: int) -> JoinShape:
        """Return the sizes for a join of so many modalities."""
        return JoinShape(
            width=self.width,
            modalities=modalities,
            classes=self.classes,
            heads=self.heads,
            dropout=self.dropout,
        )


class Answer(NamedTuple):
    """What a model says: logits [B, C], and of each modality its own logits and unit vectors.

    `vectors` [B, E] are zero and `single` means nothing where `present` [B, M] is false.
    """

    logits: torch.Tensor
    single: tuple[torch.Tensor, ...]
    vectors: tuple[torch.Tensor, ...]
    present: torch.Tensor


class Branch(nn.Module):
    """What belongs to one modality: its encoder, and heads that see nothing else."""

    def __init__(self, encoder: Encoder, shape: FusionShape) -> None:
        super().__init__()
        if not isinstance(encoder, nn.Module):
            raise errors.ConfigError(
                f"an encoder is a {type(encoder).__name__}, which is no torch.nn.Module",
                remedy="derive it from torch.nn.Module",
            )
        self.encoder = encoder
        self.to_width = nn.Linear(encoder.width, shape.width)
        self.norm = nn.LayerNorm(shape.width)
        self.head = nn.Sequential(nn.Dropout(shape.dropout), nn.Linear(shape.width, shape.classes))
        self.project = nn.Linear(shape.width, shape.width)

    def forward(
        self, x: torch.Tensor, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tokens [B, T, D] and their mask [B, T]."""
        found = self.encoder.encode(x, mask)
        return self.norm(self.to_width(found.tokens)), found.mask


class FusionModel(nn.Module):
    """Encoders by modality, joined; the order of `encoders` is that of the answers."""

    def __init__(self, encoders: Mapping[str, Encoder], shape: FusionShape) -> None:
        super().__init__()
        if not encoders:
            raise errors.ConfigError("a model has no modality", remedy="give one encoder or more")
        self.shape = shape
        self.branches = nn.ModuleDict({name: Branch(e, shape) for name, e in encoders.items()})
        self.join = make_join(shape.join, shape.of_join(len(encoders)))

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names in the order of the answers."""
        return tuple(self.branches)

    def forward(self, inputs: Batch, masks: Batch | None = None) -> Answer:
        """Answer for a batch of any modalities; `masks` are those of the encoders.

        Raises:
            InputError: no modality, an unknown one, batches of two sizes, or a sample without any.
        """
        rows = _checked_rows(inputs, masks or {}, self.modalities)
        tokens, masks_bt = self._tokens(inputs, masks or {}, rows)
        _check_present(masks_bt)
        means = [masked_mean(*pair) for pair in zip(tokens, masks_bt, strict=True)]
        branches = list(self.branches.values())
        single = tuple(b.head(mean) for b, mean in zip(branches, means, strict=True))
        present = present_bm(masks_bt)
        vectors = tuple(
            functional.normalize(b.project(mean), dim=1) * present[:, at, None]
            for at, (b, mean) in enumerate(zip(branches, means, strict=True))
        )
        kept = masks_bt
        if self.training and self.shape.modality_dropout:
            kept = drop_modalities(masks_bt, self.shape.modality_dropout)
        logits = self.join(Parts(tokens, kept, single))
        return Answer(logits, single, vectors, present)

    def _tokens(
        self, inputs: Batch, masks: Batch, rows: int
    ) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        tokens, masks_bt = [], []
        like = next(iter(inputs.values()))
        for name, branch in self.branches.items():
            if name in inputs:
                found, mask = branch(inputs[name], masks.get(name))
            else:
                found = branch.norm.weight.new_zeros(rows, 1, self.shape.width)
                mask = torch.zeros(rows, 1, dtype=torch.bool, device=like.device)
            tokens.append(found)
            masks_bt.append(mask)
        return tokens, masks_bt


def _checked_rows(inputs: Batch, masks: Batch, known: tuple[str, ...]) -> int:
    if not inputs:
        raise errors.InputError(
            "no modality was given", remedy=f"give one or more of {', '.join(known)}"
        )
    for name in (*inputs, *masks):
        if name not in known:
            raise errors.InputError(
                f"there is no modality {name!r}", remedy=f"the model has {', '.join(known)}"
            )
    for name in masks:
        if name not in inputs:
            raise errors.InputError(
                f"modality {name!r} has a mask and no values", remedy="leave its mask out, too"
            )
    rows: int = next(iter(inputs.values())).shape[0]
    if torch.compiler.is_exporting():  # sizes of a graph are symbols
        return rows
    counts = {name: x.shape[0] if x.ndim else 0 for name, x in inputs.items()}
    if len(set(counts.values())) > 1:
        raise errors.TensorMismatch(
            f"modalities have different numbers of samples: {counts}",
            remedy="give each a row for each sample, and mask out what is missing",
        )
    return rows


def _check_present(masks_bt: list[torch.Tensor]) -> None:
    if torch.compiler.is_exporting():
        return
    alone = (~present_bm(masks_bt).any(1)).nonzero().flatten()
    if len(alone):
        raise errors.InputError(
            f"{len(alone)} samples have no modality at all, the first is sample {int(alone[0])}",
            remedy="leave them out: an answer to nothing would be a guess",
        )
