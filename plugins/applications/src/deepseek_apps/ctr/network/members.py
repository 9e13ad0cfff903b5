"""The networks: FM and DCN-v2, each as several members that leave out a fold each.

Members are independent: they share a batch, and no parameter. One training makes them all, and
their mean is the model; the member that did not see a sample gives its out-of-fold prediction.
Legend: K members, B samples, F fields, M numbers, D numbers a row.
"""

from __future__ import annotations

import itertools

import attrs
import torch
from torch import nn

from deepseek_apps.ctr.network.crosses import CrossLayers, MemberLinear, fm_term
from deepseek_apps.ctr.network.embedding import EmbeddingTable, squares_of


@attrs.frozen(kw_only=True)
class Shape:
    """Sizes of a network: `rows` of the table, `fields` of a sample, `numbers` beside them.

    `l2` is the penalty on squares of the rows that a batch uses.
    """

    members: int
    rows: int
    fields: int
    numbers: int
    width: int = 8
    cross_layers: int = 2
    hidden: tuple[int, ...] = (64, 32)
    dropout: float = 0.0
    l2: float = 0.0


class Fm(nn.Module):
    """A factorization machine: weights of ids and numbers, and products of pairs of rows.

    Legend:
        `table`: rows for the products.
        `linear`: one weight of each row.
        `numbers`: weights of the numbers, and the constant.
        `l2`: penalty on the rows of a batch.
    """

    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.l2, k = shape.l2, shape.members
        self.table = EmbeddingTable(
            members=k, rows=shape.rows, width=shape.width, generator=generator
        )
        self.linear = EmbeddingTable(members=k, rows=shape.rows, width=1, generator=generator)
        self.numbers = MemberLinear(k, shape.numbers, 1, generator)

    def forward(self, ids: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (B, K), and penalties (B, K)."""
        rows, weights = self.table(ids), self.linear(ids)
        dense = numbers.expand(rows.shape[0], *numbers.shape)
        logits = fm_term(rows) + weights.sum(dim=(2, 3)) + self.numbers(dense).squeeze(2)
        return logits.T, self.l2 * (squares_of(rows) + squares_of(weights)).T


class Dcn(nn.Module):
    """DCN-v2 in its parallel form: crosses beside a perceptron, and one layer over both.

    Legend:
        `table`: rows of the ids.
        `crosses`: the cross layers.
        `deep`: layers of the perceptron.
        `head`: what makes a logit of both.
        `dropout`: of the perceptron's hidden layers.
        `l2`: penalty on the rows of a batch.
    """

    def __init__(self, shape: Shape, generator: torch.Generator) -> None:
        super().__init__()
        self.l2 = shape.l2
        k, width = shape.members, shape.fields * shape.width + shape.numbers
        self.table = EmbeddingTable(
            members=k, rows=shape.rows, width=shape.width, generator=generator
        )
        self.crosses = CrossLayers(k, width, shape.cross_layers, generator)
        widths = (width, *shape.hidden)
        self.deep = nn.ModuleList(
            MemberLinear(k, a, b, generator) for a, b in itertools.pairwise(widths)
        )
        self.head = MemberLinear(k, width + widths[-1], 1, generator)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, ids: torch.Tensor, numbers: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Logits (B, K), and penalties (B, K)."""
        rows = self.table(ids)
        dense = numbers.expand(rows.shape[0], *numbers.shape)
        start = torch.cat((rows.flatten(2), dense), dim=2)
        deep = start
        for layer in self.deep:
            deep = self.dropout(torch.relu(layer(deep)))
        both = torch.cat((self.crosses(start), deep), dim=2)
        return self.head(both).squeeze(2).T, self.l2 * squares_of(rows).T


KINDS = {"fm": Fm, "dcn": Dcn}
"""The networks by their names."""
